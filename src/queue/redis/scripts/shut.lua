-- Keeps workers from the books of an older incarnation until the pool's own leader opens it.
-- ARGV: the incarnation of now. Answers: ok.
return guarded(function()
    local mine = redis.call('GET', INCARNATION)
    if mine and mine < ARGV[1] then redis.call('DEL', INCARNATION) end
    return { 'ok' }
end)
