-- Which life of Redis' content this is; a new one when there is none, or when the server is another one or began
-- anew, for then the newest words may be missing. Not of a pool: KEYS: incarnation, announcing.
-- ARGV: the server's run id, ms in which workers tell what they hold, a random word, the id that it must be above (or nothing),
-- the id that is known under the name of before (or nothing).
-- Answers: id, 1 when it was made here.
local id = redis.pcall('HGET', KEYS[1], 'id')
local server = redis.pcall('HGET', KEYS[1], 'server')
if type(id) ~= 'string' or type(server) ~= 'string' then
    redis.call('DEL', KEYS[1])
    id, server = nil, nil
end
local above, former = ARGV[4], ARGV[5]
if not id and former ~= '' and former >= above then
    redis.call('HSET', KEYS[1], 'id', former, 'server', ARGV[1])
    return { former, 0 }
end
if id and server == ARGV[1] and id >= above then return { id, 0 } end
if id and id > above then above = id end
local time = redis.call('TIME')
local stamp = string.format('%010d%06d', tonumber(time[1]), tonumber(time[2]))
local before = string.sub(above, 1, 16)
if stamp <= before then stamp = string.format('%016.0f', tonumber(before) + 1) end
id = stamp .. '-' .. ARGV[3]
redis.call('HSET', KEYS[1], 'id', id, 'server', ARGV[1])
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[2], id, 'PX', ARGV[2]) end
return { id, 1 }
