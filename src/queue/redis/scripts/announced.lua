-- Everybody has told an incarnation what they hold. Not of a pool: KEYS: announcing. ARGV: the incarnation.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return { 'ok' }
