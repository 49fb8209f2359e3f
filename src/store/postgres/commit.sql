-- One commit, whole or not at all. It is one statement, so it holds its locks while the server works and never while
-- the server waits for us; and it is one round trip. Parts without rows are left out before it is sent; each begins
-- after a line of dashes, and its question marks become numbers. The
-- exclamation mark stands for what the parts wrote.
with fence as (
    select * from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[]) as f(id, epoch, seq, next)
), locked as materialized (
    -- Always first and in this order: two commits can wait for each other here, and never in a circle.
    select s.id, s.epoch, s.seq from shards s where s.id = any($1) order by s.id for no key update
), go as materialized (
    -- Everything below asks for this row first, and so for the fences.
    select relay_abort_if(count(*) > 0, 'RL001', min(f.id)::text) as yes
    from fence f left join locked l on l.id = f.id and l.epoch = f.epoch and l.seq = f.seq
    where l.id is null
), led as (
    update shards s set seq = f.next from fence f, go where s.id = f.id
----
), run_born as (
    insert into runs (id, workflow_id, namespace, name, shard, status, reason, error, input, outputs,
        stop_reason, stop_finally, created_at, started_at, finally_at, finished_at, paused_at, paused_us)
    select n.* from unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::smallint[], ?::text[], ?::text[],
        ?::text[], ?::jsonb[], ?::jsonb[], ?::text[], ?::boolean[], ?::timestamptz[], ?::timestamptz[],
        ?::timestamptz[], ?::timestamptz[], ?::timestamptz[], ?::bigint[]) as n, go
    on conflict do nothing
    returning 1
----
), run_moved as (
    update runs r set status = n.status, reason = n.reason, error = n.error, outputs = n.outputs,
        stop_reason = n.stop_reason, stop_finally = n.stop_finally, started_at = n.started_at,
        finally_at = n.finally_at, finished_at = n.finished_at, paused_at = n.paused_at, paused_us = n.paused_us
    from unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::jsonb[], ?::text[],
        ?::boolean[], ?::timestamptz[], ?::timestamptz[], ?::timestamptz[], ?::timestamptz[], ?::bigint[])
        as n(id, expected, status, reason, error, outputs, stop_reason, stop_finally, started_at, finally_at, finished_at,
            paused_at, paused_us),
        go
    -- `is not distinct from` keeps the planner from looking rows up by their status.
    where r.id = n.id and r.status is not distinct from n.expected
    returning 1
----
), task_born as (
    insert into task_runs (id, run_id, task_id, workflow_id, item_index, round, status, attempt, failures, losses,
        reason, error, exit_code, input, output, worker, ready_at, due_at, started_at, finished_at, created_at)
    -- A run of this very statement cannot be looked up yet: its tasks bring their workflow along.
    select n.id, n.run_id, t.id, coalesce(n.workflow_id, r.workflow_id), n.item_index, n.round, n.status, n.attempt,
        n.failures, n.losses, n.reason, n.error, n.exit_code, n.input, n.output, n.worker, n.ready_at, n.due_at,
        n.started_at, n.finished_at, n.created_at
    from go cross join unnest(?::text[], ?::text[], ?::text[], ?::integer[], ?::integer[], ?::integer[],
        ?::text[], ?::integer[], ?::integer[], ?::integer[], ?::text[], ?::text[], ?::integer[],
        ?::jsonb[], ?::text[], ?::text[], ?::timestamptz[], ?::timestamptz[], ?::timestamptz[],
        ?::timestamptz[], ?::timestamptz[])
        as n(id, run_id, workflow_id, number, item_index, round, status, attempt, failures, losses, reason, error,
            exit_code, input, output, worker, ready_at, due_at, started_at, finished_at, created_at)
    left join runs r on r.id = n.run_id and n.workflow_id is null
    left join tasks t on t.workflow_id = coalesce(n.workflow_id, r.workflow_id) and t.number = n.number
    on conflict do nothing
    returning 1
----
), task_moved as (
    update task_runs t set status = n.status, attempt = n.attempt, failures = n.failures, losses = n.losses,
        reason = n.reason, error = n.error, exit_code = n.exit_code, output = n.output,
        -- Evaluated once, when it leaves PENDING: a large one is neither sent nor stored again at each later edge.
        input = case n.expected when 'PENDING' then n.input else t.input end,
        worker = n.worker, ready_at = n.ready_at, due_at = n.due_at, started_at = n.started_at,
        finished_at = n.finished_at
    from unnest(?::text[], ?::text[], ?::integer[], ?::text[], ?::integer[], ?::integer[], ?::integer[],
        ?::text[], ?::text[], ?::integer[], ?::jsonb[], ?::text[], ?::text[], ?::timestamptz[],
        ?::timestamptz[], ?::timestamptz[], ?::timestamptz[])
        as n(id, expected, expected_attempt, status, attempt, failures, losses, reason, error, exit_code, input, output,
            worker, ready_at, due_at, started_at, finished_at),
        go
    where t.id = n.id and t.status is not distinct from n.expected and t.attempt = n.expected_attempt
    returning 1
----
), past as (
    insert into state_history (shard, seq, entity_type, entity_id, old_state, new_state, attempt, reason, actor, changed_at)
    select n.* from unnest(?::smallint[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[],
        ?::integer[], ?::text[], ?::text[], ?::timestamptz[]) as n, go
----
), tried as (
    -- Its start and its end may come in two commits or in one: the row is whole each time.
    insert into attempts (task_run_id, attempt, worker, started_at, ended_at, reason, exit_code)
    select n.* from go cross join unnest(?::text[], ?::integer[], ?::text[], ?::timestamptz[], ?::timestamptz[],
        ?::text[], ?::integer[]) as n
    on conflict (task_run_id, attempt) do update set worker = excluded.worker, started_at = excluded.started_at,
        ended_at = excluded.ended_at, reason = excluded.reason, exit_code = excluded.exit_code
----
), said as (
    insert into approvals (run_id, task_run_id, user_name, decision, note, verified, decided_at)
    select n.run_id, n.task_run_id, n.user_name, n.decision, n.note, n.verified, n.decided_at
    from go cross join unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::boolean[], ?::timestamptz[])
        with ordinality as n(run_id, task_run_id, user_name, decision, note, verified, decided_at, place)
    order by n.place
----
)
select relay_abort_if(missing <> 0, 'RL002', missing::text) as yes
from go, (select $5::bigint ! as missing) as counted
