-- Lets workers begin what they hold. ARGV: standing, then job, worker... Answers: ok.
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    for i = 2, #ARGV, 2 do
        local job, worker = ARGV[i], ARGV[i + 1]
        if redis.call('HGET', LEASES, job) == worker and redis.call('SISMEMBER', ENDED, job) == 0 then
            redis.call('HSET', GO, job, worker)
            call_worker(worker)
        end
    end
    return { 'ok' }
end)
