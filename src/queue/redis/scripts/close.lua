-- Forgets a pool that has nothing in it. ARGV: standing. Answers: closed | used.
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local left = redis.call('ZCARD', PENDING) + redis.call('HLEN', LEASES) + redis.call('SCARD', ACTIVE)
        + redis.call('XLEN', RESULTS) + redis.call('XLEN', LOGS)
    if left > 0 then return { 'used' } end
    forget_documents()
    redis.call('DEL', JOBS, DOORBELL, ENDED, CANCELLED, GO, RETIRED, INCARNATION, RESULTS, SETTLED, LOGS)
    -- Who leads is known for longer than a leader that was replaced may take to notice it.
    redis.call('PEXPIRE', EPOCH, EPOCH_MS)
    return { 'closed' }
end)
