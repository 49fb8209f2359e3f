-- Takes jobs into leases of a worker: first those that it holds without knowing it, then the smallest ranks.
-- ARGV: incarnation, worker, free slots, most bytes, documents that it has (a count), those..., then the jobs that it
-- knows it holds...
-- Answers: lost | stale | unknown (it must beat first) | retired | ok, last settled report, jobs,
-- then (job, rank, '<hashes>\n<body>')... and (hash, document)... for what they share and it has not.
return guarded(function()
    local not_now = stale(ARGV[1])
    if not_now then return not_now end
    local worker, slots, room = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
    if redis.call('EXISTS', heartbeat(worker)) == 0 then return { 'unknown' } end
    if redis.call('SISMEMBER', RETIRED, worker) == 1 then
        -- It may have taken a token from somebody who would have used it.
        ring(1)
        return { 'retired' }
    end
    local answer, has, documents, sends, knows = { 'ok', redis.call('GET', SETTLED) or '', 0 }, {}, {}, {}, {}
    local given, bytes = 0, 0
    local first = 6 + tonumber(ARGV[5])
    for i = 6, first - 1 do has[ARGV[i]] = true end
    for i = first, #ARGV do knows[ARGV[i]] = true end

    local function fits(raw)
        return given < slots and (given == 0 or bytes + #raw <= room)
    end
    local function give(job, rank, raw)
        given, bytes = given + 1, bytes + #raw
        answer[#answer + 1] = job
        answer[#answer + 1] = rank
        answer[#answer + 1] = raw
        for hash in hashes(raw) do
            if not has[hash] and not sends[hash] then
                sends[hash] = true
                bytes = bytes + #documents[hash]
            end
        end
    end
    -- Without a body, or a document that it shares, it is no job: the conductor's sweep misses it and offers it again.
    local function body(raw)
        if not raw then return nil end
        for hash in hashes(raw) do
            if not has[hash] and not documents[hash] then
                documents[hash] = redis.call('HGET', INPUTS, hash)
                if not documents[hash] then return nil end
            end
        end
        return raw
    end

    local holds = redis.call('ZRANGE', held(worker), '-inf', '(' .. OVER, 'BYSCORE', 'WITHSCORES')
    for i = 1, #holds, 2 do
        local job = holds[i]
        if not knows[job] and redis.call('SISMEMBER', ENDED, job) == 0 then
            if redis.call('HGET', LEASES, job) ~= worker then
                redis.call('ZREM', held(worker), job)
            else
                local raw = body(redis.call('HGET', JOBS, job))
                if raw and fits(raw) then give(job, holds[i + 1], raw) end
            end
        end
    end
    local full = false
    while given < slots and not full do
        local heads = redis.call('ZRANGE', PENDING, 0, math.min(slots - given, 1000) - 1, 'WITHSCORES')
        if #heads == 0 then break end
        local names, gone, leases, mine = {}, {}, {}, {}
        for i = 1, #heads, 2 do names[#names + 1] = heads[i] end
        local raws = asked('HMGET', JOBS, names)
        for n, job in ipairs(names) do
            local rank, raw = heads[2 * n], body(raws[n])
            full = raw ~= nil and not fits(raw)
            if full then break end
            gone[#gone + 1] = job
            if raw then
                leases[#leases + 1], leases[#leases + 2] = job, worker
                mine[#mine + 1], mine[#mine + 2] = rank, job
                give(job, rank, raw)
            end
        end
        each('HSET', LEASES, leases)
        each('ZADD', held(worker), mine)
        each('ZREM', PENDING, gone)
    end
    ring(1)
    answer[3] = given
    for hash in pairs(sends) do
        answer[#answer + 1] = hash
        answer[#answer + 1] = documents[hash]
    end
    return answer
end)
