-- Brings a pool into an incarnation. Books of an older one are cleared; reports and log lines in streams stay.
-- ARGV: standing. Answers: ok | newer, the pool's incarnation.
return guarded(function()
    mend()
    local not_now = deposed(ARGV[1])
    if not_now then return not_now end
    redis.call('PERSIST', EPOCH)
    local mine, wanted = redis.call('GET', INCARNATION), incarnation_of(ARGV[1])
    if mine == wanted then return { 'ok' } end
    if mine and mine > wanted then return { 'newer', mine } end
    local workers = {}
    for _, worker in ipairs(redis.call('SMEMBERS', ACTIVE)) do workers[worker] = true end
    for _, worker in ipairs(redis.call('HVALS', LEASES)) do workers[worker] = true end
    for worker in pairs(workers) do redis.call('DEL', heartbeat(worker), held(worker), bell(worker)) end
    forget_documents()
    redis.call('DEL', PENDING, JOBS, DOORBELL, LEASES, ENDED, CANCELLED, GO, ACTIVE, RETIRED, SETTLED)
    redis.call('SET', INCARNATION, wanted)
    return { 'ok' }
end)
