-- Brings a pool into an incarnation. Books of an older one are cleared; reports and log lines in streams stay.
-- ARGV: incarnation. Answers: ok | newer, the pool's incarnation.
return guarded(function()
    mend()
    local mine = redis.call('GET', INCARNATION)
    if mine == ARGV[1] then return { 'ok' } end
    if mine and mine > ARGV[1] then return { 'newer', mine } end
    local workers = {}
    for _, worker in ipairs(redis.call('SMEMBERS', ACTIVE)) do workers[worker] = true end
    for _, worker in ipairs(redis.call('HVALS', LEASES)) do workers[worker] = true end
    for worker in pairs(workers) do redis.call('DEL', heartbeat(worker), held(worker), bell(worker)) end
    forget_documents()
    redis.call('DEL', PENDING, JOBS, DOORBELL, LEASES, ENDED, CANCELLED, ACTIVE, RETIRED, SETTLED)
    redis.call('SET', INCARNATION, ARGV[1])
    return { 'ok' }
end)
