-- Takes a job back that nobody has claimed. ARGV: standing, job. Answers: removed | claimed | absent.
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    if redis.call('ZREM', PENDING, ARGV[2]) == 1 then
        forget_bodies({ ARGV[2] })
        return { 'removed' }
    end
    return { redis.call('HEXISTS', LEASES, ARGV[2]) == 1 and 'claimed' or 'absent' }
end)
