-- What the pool's books hold. Workers that are gone are struck off. ARGV: standing,
-- ms for which no more log lines are taken (or 0).
-- Answers: ok, newest report's entry or nothing, pending [..], leases [job, worker, ..], present [..], keys mended,
-- 1 when there is nothing in the pool at all, what was struck off for being too long or too much.
return guarded(function()
    local mended = mend()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local active, struck_active = members(ACTIVE)
    local pending, struck_pending = pending_jobs()
    local leases, struck_leases = leased_jobs()
    local present = {}
    for _, worker in ipairs(active) do
        if redis.call('EXISTS', heartbeat(worker)) == 1 then
            present[#present + 1] = worker
        else
            redis.call('SREM', ACTIVE, worker)
            redis.call('SREM', RETIRED, worker)
        end
    end
    ring(1)
    -- What is in no book any more, after a key of a wrong type was cleared.
    if redis.call('HLEN', JOBS) > redis.call('ZCARD', PENDING) + redis.call('HLEN', LEASES) then
        for _, job in ipairs(redis.call('HKEYS', JOBS)) do
            local known = redis.call('ZSCORE', PENDING, job) or redis.call('HEXISTS', LEASES, job) == 1
            if not known then forget_bodies({ job }) end
        end
    end
    if redis.call('HLEN', JOBS) == 0 then forget_documents() end
    if redis.call('HLEN', GO) > redis.call('HLEN', LEASES) then
        for _, job in ipairs(redis.call('HKEYS', GO)) do
            if redis.call('HEXISTS', LEASES, job) == 0 then redis.call('HDEL', GO, job) end
        end
    end
    for _, set in ipairs({ ENDED, CANCELLED }) do
        if redis.call('SCARD', set) > redis.call('HLEN', LEASES) then
            for _, job in ipairs(redis.call('SMEMBERS', set)) do
                if redis.call('HEXISTS', LEASES, job) == 0 then redis.call('SREM', set, job) end
            end
        end
    end
    if ARGV[2] ~= '0' then redis.call('SET', LOGS_HELD, '1', 'PX', ARGV[2]) end
    local empty = redis.call('XLEN', RESULTS) + redis.call('XLEN', LOGS) + redis.call('HLEN', LEASES) == 0
        and redis.call('ZCARD', PENDING) == 0 and #present == 0
    local last = redis.call('XREVRANGE', RESULTS, '+', '-', 'COUNT', 1)
    local newest = last[1] and last[1][1] or ''
    return {
        'ok', newest, pending, leases, present, mended, empty and 1 or 0,
        struck_active + struck_pending + struck_leases,
    }
end)
