-- Offers jobs. One that is pending or leased stays as it is.
-- ARGV: standing, most pending jobs, documents, (hash, document)..., then (job, rank, hashes, body)...
-- Answers: ok, 1 when the bound was reached, jobs of which a document is not here...
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local most, given, at = tonumber(ARGV[2]), {}, 4
    for _ = 1, tonumber(ARGV[3]) do
        given[ARGV[at]] = ARGV[at + 1]
        at = at + 2
    end
    local count, full, added, answer = redis.call('ZCARD', PENDING), 0, 0, { 'ok', 0 }
    local has = {}
    local function has_all(raw)
        for hash in hashes(raw) do
            if has[hash] == nil then
                if given[hash] then redis.call('HSETNX', INPUTS, hash, given[hash]) end
                has[hash] = given[hash] ~= nil or redis.call('HEXISTS', INPUTS, hash) == 1
            end
            if not has[hash] then return false end
        end
        return true
    end
    for i = at, #ARGV, 4 do
        local job, rank, raw = ARGV[i], ARGV[i + 1], ARGV[i + 2] .. '\n' .. ARGV[i + 3]
        if redis.call('HEXISTS', LEASES, job) == 1 then
            -- It stays as it is.
        elseif count >= most then
            if not redis.call('ZSCORE', PENDING, job) then full = 1 end
        elseif not has_all(raw) then
            if not redis.call('ZSCORE', PENDING, job) then answer[#answer + 1] = job end
        elseif redis.call('ZADD', PENDING, 'NX', rank, job) == 1 then
            -- A body that lies about without its job may be the last user of the very documents: its own are counted first.
            local before = redis.call('HGET', JOBS, job)
            for hash in hashes(raw) do redis.call('HINCRBY', USERS, hash, 1) end
            if before then forget_body(job) end
            redis.call('HSET', JOBS, job, raw)
            count, added = count + 1, added + 1
        end
    end
    if added > 0 then ring(added) end
    answer[2] = full
    return answer
end)
