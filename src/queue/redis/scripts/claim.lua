-- Takes jobs into leases of a worker: first those that it holds without knowing it, then the smallest ranks.
-- ARGV: incarnation, worker, free slots, most bytes, documents that it has (a count), those..., then the jobs that it
-- knows it holds...
-- Answers: lost | stale | unknown (it must beat first) | retired | ok, last settled report, jobs,
-- then (job, '<hash or nothing>\n<body>')... and (hash, document)... for what they share and it has not.
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
    local answer, documents, knows = { 'ok', redis.call('GET', SETTLED) or '', 0 }, {}, {}
    local given, bytes = 0, 0
    local first = 6 + tonumber(ARGV[5])
    for i = 6, first - 1 do documents[ARGV[i]] = '' end
    for i = first, #ARGV do knows[ARGV[i]] = true end

    local function fits(raw)
        return given < slots and (given == 0 or bytes + #raw <= room)
    end
    local function give(job, raw)
        given, bytes = given + 1, bytes + #raw
        answer[#answer + 1] = job
        answer[#answer + 1] = raw
        local hash = string.match(raw, '^(%x+)\n')
        if hash and not documents[hash] then
            documents[hash] = redis.call('HGET', INPUTS, hash)
            bytes = bytes + #documents[hash]
        end
    end
    -- Without a body, or the document that it shares, it is no job: the conductor's sweep misses it and offers it again.
    local function body(job)
        local raw = redis.call('HGET', JOBS, job)
        local hash = raw and string.match(raw, '^(%x+)\n')
        if hash and not documents[hash] and redis.call('HEXISTS', INPUTS, hash) == 0 then return nil end
        return raw or nil
    end

    for _, job in ipairs(redis.call('ZRANGE', held(worker), 0, -1)) do
        -- Nearly all are known, or have ended and wait to be settled: of those nothing else is asked.
        if not knows[job] and redis.call('SISMEMBER', ENDED, job) == 0 then
            if redis.call('HGET', LEASES, job) ~= worker then
                redis.call('ZREM', held(worker), job)
            else
                local raw = body(job)
                if raw and fits(raw) then give(job, raw) end
            end
        end
    end
    while given < slots do
        local head = redis.call('ZRANGE', PENDING, 0, 0, 'WITHSCORES')
        if #head == 0 then break end
        local job, raw = head[1], body(head[1])
        if raw and not fits(raw) then break end
        redis.call('ZREM', PENDING, job)
        if raw then
            lease(job, worker, head[2])
            give(job, raw)
        end
    end
    ring(1)
    answer[3] = given
    for hash, document in pairs(documents) do
        if document ~= '' then
            answer[#answer + 1] = hash
            answer[#answer + 1] = document
        end
    end
    return answer
end)
