-- Forgets reports up to an entry, and jobs wherever they are.
-- ARGV: standing, last settled entry or nothing, the first one to stay, jobs... Answers: ok.
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    if ARGV[2] ~= '' then
        redis.call('XTRIM', RESULTS, 'MINID', ARGV[3])
        -- Not when the memory is full; then it is told the next time.
        redis.pcall('SET', SETTLED, ARGV[2])
    end
    local jobs = {}
    for i = 4, #ARGV do jobs[i - 3] = ARGV[i] end
    forget(jobs)
    return { 'ok' }
end)
