-- A worker says good-bye. Its leases stay. ARGV: incarnation, worker. Answers: ok.
return guarded(function()
    local not_now = stale(ARGV[1])
    if not_now then return not_now end
    local worker = ARGV[2]
    redis.call('DEL', heartbeat(worker), bell(worker))
    redis.call('SREM', ACTIVE, worker)
    redis.call('SREM', RETIRED, worker)
    -- It may have taken a token with it.
    ring(1)
    return { 'ok' }
end)
