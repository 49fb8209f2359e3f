-- A worker lives, and says what it holds. In an incarnation that it did not know yet its word is taken for the books:
-- what it holds becomes its lease again, unless another worker has it by now. A job whose end it kept becomes its lease
-- even then: the work is done, and whoever began it a second time stops.
-- ARGV: incarnation that it knew (or nothing), worker, presence in ms, 0 when the call for orders stays open,
-- jobs that it holds (a count), those..., jobs whose end it reported without hearing that it is settled...
-- Answers: ok, incarnation, last settled report, 1 when retired, jobs to stop [..], jobs that are not its own [..], jobs that
-- it may begin [..].
return guarded(function()
    local current = redis.call('GET', INCARNATION)
    if not current then return { 'lost' } end
    local worker, presence, holding = ARGV[2], ARGV[3], tonumber(ARGV[5])
    -- PEXPIRE first: it is taken even when the memory is full.
    if redis.call('PEXPIRE', heartbeat(worker), presence) == 0 then
        redis.call('SET', heartbeat(worker), '1', 'PX', presence)
    end
    if redis.call('SISMEMBER', ACTIVE, worker) == 0 then redis.call('SADD', ACTIVE, worker) end
    if ARGV[4] ~= '0' then redis.call('DEL', bell(worker)) end
    if current ~= ARGV[1] and ARGV[1] ~= '' then
        for i = 6, #ARGV do
            local job, ended = ARGV[i], i > 5 + holding
            local holder = redis.call('HGET', LEASES, job)
            if not holder then
                local rank = redis.call('ZSCORE', PENDING, job)
                redis.call('ZREM', PENDING, job)
                lease(job, worker, rank or 0)
            elseif ended and holder ~= worker and redis.call('SISMEMBER', ENDED, job) == 0 then
                redis.call('ZREM', held(holder), job)
                lease(job, worker, 0)
                call_worker(holder)
            end
        end
    end
    local stop, foreign, go = {}, {}, {}
    for i = 6, 5 + holding do
        local job = ARGV[i]
        if redis.call('HGET', LEASES, job) ~= worker then
            foreign[#foreign + 1] = job
        elseif redis.call('SISMEMBER', CANCELLED, job) == 1 then
            stop[#stop + 1] = job
        elseif redis.call('HGET', GO, job) == worker then
            go[#go + 1] = job
        end
    end
    local retired = redis.call('SISMEMBER', RETIRED, worker)
    return { 'ok', current, redis.call('GET', SETTLED) or '', retired, stop, foreign, go }
end)
