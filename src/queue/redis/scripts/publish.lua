-- Offers jobs. One that is pending or leased stays as it is.
-- ARGV: standing, most pending jobs, documents, (hash, document)..., then (job, rank, what is stored of it)...
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
    local has, new = {}, {}
    local function has_all(raw)
        for hash in hashes(raw) do
            if has[hash] == nil then
                has[hash] = redis.call('HEXISTS', INPUTS, hash) == 1
                if given[hash] and not has[hash] then
                    new[#new + 1], new[#new + 2], has[hash] = hash, given[hash], true
                end
            end
            if not has[hash] then return false end
        end
        return true
    end
    local jobs = {}
    for i = at, #ARGV, 3 do jobs[#jobs + 1] = ARGV[i] end
    local leased, pending = asked('HMGET', LEASES, jobs), asked('ZMSCORE', PENDING, jobs)
    -- A body may lie about without its job, and have documents.
    local before = asked('HMGET', JOBS, jobs)
    local bodies, ranks, users, here = {}, {}, {}, {}
    for n, job in ipairs(jobs) do
        local rank, raw = ARGV[at + 3 * n - 2], ARGV[at + 3 * n - 1]
        if leased[n] or pending[n] or here[job] then
            -- It stays as it is.
        elseif count >= most then
            full = 1
        elseif not has_all(raw) then
            answer[#answer + 1] = job
        else
            here[job] = true
            bodies[#bodies + 1], bodies[#bodies + 2] = job, raw
            ranks[#ranks + 1], ranks[#ranks + 2] = rank, job
            note_users(users, raw, 1)
            if before[n] then note_users(users, before[n], -1) end
            count, added = count + 1, added + 1
        end
    end
    each('HSET', INPUTS, new)
    each('HSET', JOBS, bodies)
    count_users(users)
    each('ZADD', PENDING, ranks)
    if added > 0 then ring(added) end
    answer[2] = full
    return answer
end)
