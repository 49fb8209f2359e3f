-- Brings a pool into an incarnation. Books of an older one are cleared; reports and log lines in streams stay.
-- What is opened gets a name of its own within the incarnation, by which all others know it: words of the books before
-- count for nothing in these, also when Redis was emptied and a late word opened them in the old incarnation once more.
-- ARGV: standing. Answers: ok, that name | newer, the pool's incarnation.
return guarded(function()
    mend()
    local not_now = deposed(ARGV[1])
    if not_now then return not_now end
    redis.call('PERSIST', EPOCH)
    local mine, wanted = redis.call('GET', INCARNATION), incarnation_of(ARGV[1])
    local life = mine and life_of(mine)
    if life == wanted then return { 'ok', mine } end
    if life and life > wanted then return { 'newer', life } end
    local workers = {}
    for _, worker in ipairs(redis.call('SMEMBERS', ACTIVE)) do workers[worker] = true end
    for _, worker in ipairs(redis.call('HVALS', LEASES)) do workers[worker] = true end
    for worker in pairs(workers) do redis.call('DEL', heartbeat(worker), held(worker), bell(worker)) end
    forget_documents()
    redis.call('DEL', PENDING, JOBS, DOORBELL, LEASES, ENDED, CANCELLED, GO, ACTIVE, RETIRED, SETTLED)
    local time = redis.call('TIME')
    local opened = string.format('%s/%s%06d', wanted, time[1], tonumber(time[2]))
    redis.call('SET', INCARNATION, opened)
    return { 'ok', opened }
end)
