-- Takes news of a job from the worker that holds it, and from nobody else.
-- ARGV: incarnation, worker, job, 1 when it has ended, most reports, report. Answers: full | dropped | ok, entry.
return guarded(function()
    local not_now = stale(ARGV[1])
    if not_now then return not_now end
    local worker, job = ARGV[2], ARGV[3]
    if redis.call('HGET', LEASES, job) ~= worker then return { 'dropped' } end
    if redis.call('XLEN', RESULTS) >= tonumber(ARGV[5]) then return { 'full' } end
    local entry = redis.call('XADD', RESULTS, '*', 'r', ARGV[6])
    if ARGV[4] == '1' then
        redis.call('SADD', ENDED, job)
        redis.call('SREM', CANCELLED, job)
    end
    return { 'ok', entry }
end)
