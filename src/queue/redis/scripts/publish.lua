-- Offers jobs. One that is pending or leased stays as it is.
-- ARGV: standing, most pending jobs, documents, (hash, document)..., then (job, rank, hash or nothing, body)...
-- Answers: ok, 1 when the bound was reached, jobs whose document is not here...
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local most, given, at = tonumber(ARGV[2]), {}, 4
    for _ = 1, tonumber(ARGV[3]) do
        given[ARGV[at]] = ARGV[at + 1]
        at = at + 2
    end
    local count, full, added, answer = redis.call('ZCARD', PENDING), 0, 0, { 'ok', 0 }
    for i = at, #ARGV, 4 do
        local job, rank, hash, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
        local known = redis.call('ZSCORE', PENDING, job) or redis.call('HEXISTS', LEASES, job) == 1
        -- A body that lies about without its job may be the last user of the very document.
        if not known then forget_body(job) end
        if not known and count >= most then
            full = 1
        elseif not known and hash ~= '' and not given[hash] and redis.call('HEXISTS', INPUTS, hash) == 0 then
            answer[#answer + 1] = job
        elseif not known then
            if hash ~= '' then
                if given[hash] then redis.call('HSETNX', INPUTS, hash, given[hash]) end
                redis.call('SADD', users(hash), job)
            end
            redis.call('HSET', JOBS, job, hash .. '\n' .. body)
            redis.call('ZADD', PENDING, rank, job)
            count, added = count + 1, added + 1
        end
    end
    if added > 0 then ring(added) end
    answer[2] = full
    return answer
end)
