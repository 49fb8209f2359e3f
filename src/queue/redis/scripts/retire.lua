-- Retires idle workers until so many are retired, or recalls all of them (a negative number).
-- ARGV: standing, how many. Answers: ok, how many are retired now.
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local most = tonumber(ARGV[2])
    if most < 0 then
        for _, worker in ipairs(redis.call('SMEMBERS', RETIRED)) do call_worker(worker) end
        redis.call('DEL', RETIRED)
        ring(DOORBELL_MOST)
        return { 'ok', 0 }
    end
    local retired, idle = 0, {}
    local workers = redis.call('SMEMBERS', ACTIVE)
    table.sort(workers)
    for _, worker in ipairs(workers) do
        if redis.call('EXISTS', heartbeat(worker)) == 1 then
            if redis.call('SISMEMBER', RETIRED, worker) == 1 then
                retired = retired + 1
            elseif redis.call('ZCARD', held(worker)) == 0 then
                idle[#idle + 1] = worker
            end
        end
    end
    for _, worker in ipairs(idle) do
        if retired >= most then break end
        redis.call('SADD', RETIRED, worker)
        call_worker(worker)
        retired = retired + 1
    end
    return { 'ok', retired }
end)
