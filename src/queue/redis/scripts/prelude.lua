-- What every script begins with: the keys of one pool, and what is done to them in more than one place.
-- KEYS[1] is what all keys of the pool begin with. Answers are lists that begin with a word.
local base = KEYS[1]
-- Sorted set: jobs that nobody has claimed, by rank.
local PENDING = base .. 'queue:pending_jobs'
-- Hash: job -> '<hashes of documents, with commas between>\n<what is its own>'.
local JOBS = base .. 'queue:jobs'
-- Hashes: documents that jobs share, by their hash; how many jobs have each.
local INPUTS = base .. 'queue:inputs'
local USERS = base .. 'queue:inputs:users'
-- List: a token for each idle worker that should look for jobs.
local DOORBELL = base .. 'queue:doorbell'
-- Hash: job -> the worker that holds it; sets: whose end is reported, whose end is asked for.
local LEASES = base .. 'leases'
local ENDED = base .. 'leases:ended'
local CANCELLED = base .. 'leases:cancelled'
-- Hash: job -> the worker that may begin it, of jobs that wait for that word.
local GO = base .. 'leases:go'
-- Sets of workers.
local ACTIVE = base .. 'set:active_workers'
local RETIRED = base .. 'set:retired_workers'
-- String: the incarnation in which all this was written, `/`, and when its books were opened: one name for them.
local INCARNATION = base .. 'incarnation'
-- String: the newest epoch in which a leader spoke to this pool.
local EPOCH = base .. 'epoch'
-- Stream of reports, and the last of its entries that was settled.
local RESULTS = base .. 'stream:results'
local SETTLED = base .. 'stream:results:settled'
-- Stream of log lines; while this key is there, no more are taken.
local LOGS = base .. 'stream:logs'
local LOGS_HELD = base .. 'stream:logs:held'
local DOORBELL_MOST = 64
local BELL_MS = 60000
local EPOCH_MS = 86400000

-- String with a time to live: the worker is present. Sorted set: what it holds, by rank. List: a token when it is called.
local function heartbeat(worker) return base .. 'worker:heartbeat:' .. worker end
-- (By rank, and behind all of those whose end is reported: whoever looks for others passes them by.)
local OVER = '+inf'
local function held(worker) return base .. 'worker:held:' .. worker end
local function bell(worker) return base .. 'worker:bell:' .. worker end

-- The books are of another life than the caller thinks: the answer to give, or nil.
local function stale(known)
    local current = redis.call('GET', INCARNATION)
    if not current then return { 'lost' } end
    if current ~= known then return { 'stale', current } end
    return nil
end

-- A step of the conductor's side comes with its standing, `<incarnation>@<epoch>`. One of an older epoch than was heard here
-- is not done: the answer to give, or nil. A newer one is remembered.
local function deposed(standing)
    local epoch, heard = string.match(standing, '@(%d+)$'), redis.call('GET', EPOCH)
    if (tonumber(heard or '') or 0) > tonumber(epoch) then return { 'deposed', heard } end
    if heard ~= epoch then redis.call('SET', EPOCH, epoch) end
    return nil
end

-- The incarnation in such a name.
local function life_of(opened) return string.match(opened, '^[^/]*') end

local function incarnation_of(standing) return string.match(standing, '^(.*)@') end

-- Why a step of the conductor's side is not done: the answer to give, or nil.
local function not_for(standing)
    return deposed(standing) or stale(incarnation_of(standing))
end

-- Tokens are lost when the memory is full, or when a worker calls another one, which it may not: whoever waits for one looks
-- again after a while by itself.
local function call_worker(worker)
    redis.pcall('RPUSH', bell(worker), '1')
    redis.pcall('LTRIM', bell(worker), 0, 0)
    redis.pcall('PEXPIRE', bell(worker), BELL_MS)
end

-- At least so many tokens, so that as many idle workers look; none when there is nothing to be found.
local function ring(tokens)
    local waiting = redis.call('ZCARD', PENDING)
    if waiting == 0 then
        redis.call('DEL', DOORBELL)
        return
    end
    local missing = math.min(tokens, waiting, DOORBELL_MOST) - redis.call('LLEN', DOORBELL)
    for _ = 1, missing do redis.pcall('RPUSH', DOORBELL, '1') end
end

-- One command on a key with many arguments, in calls that Lua can make.
local function each(command, key, arguments)
    for i = 1, #arguments, 4000 do
        redis.call(command, key, unpack(arguments, i, math.min(i + 3999, #arguments)))
    end
end

-- The hashes of what a job shares, one after the other.
local function hashes(raw) return string.gmatch(string.match(raw, '^([^\n]*)\n') or '', '[^,]+') end

-- What one command on a key answers for many fields or members, in their order.
local function asked(command, key, names)
    local answers = {}
    for i = 1, #names, 4000 do
        local some = redis.call(command, key, unpack(names, i, math.min(i + 3999, #names)))
        for j = 1, #some do answers[i + j - 1] = some[j] end
    end
    return answers
end

-- So many jobs more, or fewer, have the documents of this body; told at once for many bodies.
local function note_users(users, raw, more)
    for hash in hashes(raw) do users[hash] = (users[hash] or 0) + more end
end

-- A document goes with the last job that has it. (Where the count is wrong, for a key of a wrong type was cleared, it may
-- go too soon: then its jobs are none, and the conductor's sweep offers them again.)
local function count_users(users)
    local names, counts, gone = {}, {}, {}
    for hash in pairs(users) do names[#names + 1] = hash end
    for n, count in ipairs(asked('HMGET', USERS, names)) do
        local left = (tonumber(count or '') or 0) + users[names[n]]
        if left > 0 then
            counts[#counts + 1], counts[#counts + 2] = names[n], left
        else
            gone[#gone + 1] = names[n]
        end
    end
    each('HSET', USERS, counts)
    each('HDEL', USERS, gone)
    each('HDEL', INPUTS, gone)
end

-- Each of them once.
local function forget_bodies(jobs)
    local users, seen, raws = {}, {}, asked('HMGET', JOBS, jobs)
    for n, job in ipairs(jobs) do
        if raws[n] and not seen[job] then note_users(users, raws[n], -1) end
        seen[job] = true
    end
    each('HDEL', JOBS, jobs)
    count_users(users)
end

local function forget_documents() redis.call('DEL', INPUTS, USERS) end

-- A lease for the worker, whatever stood there.
local function lease(job, worker, rank)
    redis.call('HSET', LEASES, job, worker)
    redis.call('ZADD', held(worker), rank, job)
end

-- These jobs are nowhere any more. Workers that still run one are called.
local function forget(jobs)
    forget_bodies(jobs)
    local workers, leased, free, of, seen, calls = asked('HMGET', LEASES, jobs), {}, {}, {}, {}, {}
    for n, job in ipairs(jobs) do
        local worker = workers[n]
        if seen[job] ~= nil then
            -- It is named twice.
        elseif worker then
            seen[job], leased[#leased + 1], of[worker] = worker, job, of[worker] or {}
            of[worker][#of[worker] + 1] = job
        else
            seen[job], free[#free + 1] = '', job
        end
    end
    for n, ended in ipairs(asked('SMISMEMBER', ENDED, leased)) do
        if ended == 0 then calls[seen[leased[n]]] = true end
    end
    for worker in pairs(calls) do call_worker(worker) end
    -- Nothing that is leased is pending.
    each('ZREM', PENDING, free)
    each('HDEL', LEASES, leased)
    each('SREM', ENDED, leased)
    if redis.call('SCARD', CANCELLED) > 0 then each('SREM', CANCELLED, leased) end
    if redis.call('HLEN', GO) > 0 then each('HDEL', GO, leased) end
    for worker, his in pairs(of) do each('ZREM', held(worker), his) end
end

-- Whoever may write a book may write anything into it. What is longer than any name of a job or a worker goes, and a
-- book that has more than there can ever be goes as a whole: as after a key of a wrong type, the conductor's sweep makes
-- up. So whoever reads the books reads no more than this.
local NAME_MOST = 512
local function trimmed(key, list, step, most, bytes_most, strike)
    local bytes, struck = 0, 0
    if #list / step > most then
        redis.call('DEL', key)
        return {}, 1
    end
    local kept = {}
    for i = 1, #list, step do
        local longest = 0
        for j = i, i + step - 1 do longest = math.max(longest, #list[j]) end
        if longest > NAME_MOST then
            redis.call(strike, key, list[i])
            struck = struck + 1
        else
            for j = i, i + step - 1 do
                kept[#kept + 1] = list[j]
                bytes = bytes + #list[j]
            end
        end
    end
    if bytes > bytes_most then
        redis.call('DEL', key)
        return {}, struck + 1
    end
    return kept, struck
end
local function members(key)
    if redis.call('SCARD', key) > 10000 then
        redis.call('DEL', key)
        return {}, 1
    end
    return trimmed(key, redis.call('SMEMBERS', key), 1, 10000, 4194304, 'SREM')
end
local function pending_jobs()
    return trimmed(PENDING, redis.call('ZRANGE', PENDING, 0, -1), 1, 200000, 33554432, 'ZREM')
end
local function leased_jobs()
    return trimmed(LEASES, redis.call('HGETALL', LEASES), 2, 200000, 33554432, 'HDEL')
end

-- A key of another type than it should be was written by somebody else: it goes, and the conductor's sweep makes up.
local function mend()
    local types = {
        [PENDING] = 'zset', [JOBS] = 'hash', [INPUTS] = 'hash', [USERS] = 'hash', [DOORBELL] = 'list',
        [LEASES] = 'hash', [ENDED] = 'set', [CANCELLED] = 'set', [GO] = 'hash', [ACTIVE] = 'set', [RETIRED] = 'set',
        [INCARNATION] = 'string', [EPOCH] = 'string', [RESULTS] = 'stream', [SETTLED] = 'string', [LOGS] = 'stream',
    }
    local mended = 0
    for key, wanted in pairs(types) do
        local found = redis.call('TYPE', key).ok
        if found ~= 'none' and found ~= wanted then
            redis.call('DEL', key)
            mended = mended + 1
        end
    end
    return mended
end

-- Runs the script; a key of a wrong type is told as such. What was done before it stays done, as after a lost answer.
local function guarded(script)
    local done, answer = pcall(script)
    if done then return answer end
    local text = type(answer) == 'table' and answer.err or tostring(answer)
    if string.find(text, 'WRONGTYPE', 1, true) then return { 'broken', text } end
    return redis.error_reply(text)
end
