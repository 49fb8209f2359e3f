-- Who is present. ARGV: standing. Answers: ok, (worker, jobs that it holds, 1 when retired)...
return guarded(function()
    local not_now = not_for(ARGV[1])
    if not_now then return not_now end
    local answer = { 'ok' }
    for _, worker in ipairs((members(ACTIVE))) do
        if redis.call('EXISTS', heartbeat(worker)) == 1 then
            answer[#answer + 1] = worker
            answer[#answer + 1] = redis.call('ZCARD', held(worker))
            answer[#answer + 1] = redis.call('SISMEMBER', RETIRED, worker)
        end
    end
    return answer
end)
