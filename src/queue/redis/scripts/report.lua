-- Takes news of jobs from the worker that holds them, and from nobody else; in their order, until there is no room.
-- ARGV: incarnation, worker, most reports, then (job, 1 when it has ended, report)...
-- Answers: ok, then for each report its entry, or dropped, or full (and so are all that follow).
return guarded(function()
    local not_now = stale(ARGV[1])
    if not_now then return not_now end
    local worker, room = ARGV[2], tonumber(ARGV[3]) - redis.call('XLEN', RESULTS)
    local answer, jobs, ended, over = { 'ok' }, {}, {}, {}
    -- News of one job mostly comes together.
    for i = 4, #ARGV, 3 do
        if ARGV[i] ~= jobs[#jobs] then jobs[#jobs + 1] = ARGV[i] end
    end
    local holders, n = asked('HMGET', LEASES, jobs), 1
    for i = 4, #ARGV, 3 do
        local job, told = ARGV[i], 'full'
        if job ~= jobs[n] then n = n + 1 end
        if holders[n] ~= worker then
            told = 'dropped'
        elseif room > 0 then
            room = room - 1
            told = redis.call('XADD', RESULTS, '*', 'r', ARGV[i + 2])
            if ARGV[i + 1] == '1' then
                ended[#ended + 1] = job
                over[#over + 1] = OVER
                over[#over + 1] = job
            end
        end
        answer[#answer + 1] = told
    end
    each('SADD', ENDED, ended)
    each('SREM', CANCELLED, ended)
    each('ZADD', held(worker), over)
    return answer
end)
