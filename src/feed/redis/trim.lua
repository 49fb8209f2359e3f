-- Forgets lines that are stored. KEYS[1] is what all keys of the pool begin with. A key of a wrong type goes.
-- ARGV: the first entry to stay, bytes that go. Answers: ok.
local LOGS, BYTES = KEYS[1] .. 'stream:logs', KEYS[1] .. 'stream:logs:bytes'
for key, wanted in pairs({ [LOGS] = 'stream', [BYTES] = 'string' }) do
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= wanted then redis.call('DEL', key) end
end
redis.call('XTRIM', LOGS, 'MINID', ARGV[1])
local left = (tonumber(redis.call('GET', BYTES) or '0') or 0) - tonumber(ARGV[2])
if redis.call('XLEN', LOGS) == 0 then
    redis.call('DEL', LOGS, BYTES)
else
    redis.call('SET', BYTES, string.format('%.0f', math.max(left, 0)))
end
return { 'ok' }
