-- Says who leads, and does nothing else. ARGV: standing. Answers: ok.
return guarded(function()
    return not_for(ARGV[1]) or { 'ok' }
end)
