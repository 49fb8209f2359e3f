-- Asks whoever holds a job to stop it. ARGV: standing, job. Answers: ok | absent.
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local worker = redis.call('HGET', LEASES, ARGV[2])
    if not worker then return { 'absent' } end
    if redis.call('SISMEMBER', ENDED, ARGV[2]) == 0 then
        redis.call('SADD', CANCELLED, ARGV[2])
        call_worker(worker)
    end
    return { 'ok' }
end)
