-- A worker that claims nothing more gives back what it holds without knowing it: nobody has seen these jobs.
-- ARGV: incarnation, worker, jobs that it knows it holds... Answers: ok.
return guarded(function()
    local not_now = stale(ARGV[1])
    if not_now then return not_now end
    local worker, knows, given = ARGV[2], {}, 0
    for i = 3, #ARGV do knows[ARGV[i]] = true end
    local jobs = redis.call('ZRANGE', held(worker), 0, -1, 'WITHSCORES')
    for i = 1, #jobs, 2 do
        local job, rank = jobs[i], jobs[i + 1]
        local mine = redis.call('HGET', LEASES, job) == worker
        if mine and not knows[job] and redis.call('SISMEMBER', ENDED, job) == 0 then
            redis.call('HDEL', LEASES, job)
            redis.call('ZREM', held(worker), job)
            redis.call('SREM', CANCELLED, job)
            redis.call('ZADD', PENDING, rank, job)
            given = given + 1
        end
    end
    if given > 0 then ring(given) end
    return { 'ok' }
end)
