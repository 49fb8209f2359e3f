-- Takes what a pool's tasks wrote, all of it or nothing. KEYS[1] is what all keys of the pool begin with.
-- ARGV: most entries, most bytes, batches of lines... Answers: ok | full.
local LOGS, BYTES = KEYS[1] .. 'stream:logs', KEYS[1] .. 'stream:logs:bytes'
if redis.call('EXISTS', LOGS .. ':held') == 1 then return { 'full' } end
if redis.call('XLEN', LOGS) >= tonumber(ARGV[1]) then return { 'full' } end
if (tonumber(redis.call('GET', BYTES) or '0') or 0) >= tonumber(ARGV[2]) then return { 'full' } end
local bytes = 0
for i = 3, #ARGV do
    redis.call('XADD', LOGS, '*', 'l', ARGV[i])
    bytes = bytes + #ARGV[i]
end
redis.call('INCRBY', BYTES, bytes)
return { 'ok' }
