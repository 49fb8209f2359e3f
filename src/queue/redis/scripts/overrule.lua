-- The store says who leads, whatever was heard here: an epoch that is none of the store's is forgotten, unless another was
-- heard since. ARGV: standing, the epoch to be forgotten. Answers: ok.
return guarded(function()
    if redis.call('GET', EPOCH) == ARGV[2] then redis.call('SET', EPOCH, string.match(ARGV[1], '@(%d+)$')) end
    return { 'ok' }
end)
