-- One commit, whole or not at all. It is one statement, so it holds its locks while the server works and never while
-- the server waits for us; and it is one round trip.
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
), run_born as (
    insert into runs (id, workflow_id, namespace, name, shard, status, reason, error, input, outputs,
        stop_reason, stop_finally, created_at, started_at, finally_at, finished_at)
    select n.* from unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::smallint[], $10::text[], $11::text[],
        $12::text[], $13::jsonb[], $14::jsonb[], $15::text[], $16::boolean[], $17::timestamptz[], $18::timestamptz[],
        $19::timestamptz[], $20::timestamptz[]) as n, go
    on conflict do nothing
    returning 1
), run_moved as (
    update runs r set status = n.status, reason = n.reason, error = n.error, outputs = n.outputs,
        stop_reason = n.stop_reason, stop_finally = n.stop_finally, started_at = n.started_at,
        finally_at = n.finally_at, finished_at = n.finished_at
    from unnest($21::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::jsonb[], $27::text[],
        $28::boolean[], $29::timestamptz[], $30::timestamptz[], $31::timestamptz[])
        as n(id, expected, status, reason, error, outputs, stop_reason, stop_finally, started_at, finally_at, finished_at),
        go
    where r.id = n.id and r.status = n.expected
    returning 1
), task_born as (
    insert into task_runs (id, run_id, task_id, workflow_id, item_index, round, status, attempt, failures, losses,
        reason, error, exit_code, input, output, worker, ready_at, due_at, started_at, finished_at, created_at)
    -- A run of this very statement cannot be looked up yet: its tasks bring their workflow along.
    select n.id, n.run_id, t.id, coalesce(n.workflow_id, r.workflow_id), n.item_index, n.round, n.status, n.attempt,
        n.failures, n.losses, n.reason, n.error, n.exit_code, n.input, n.output, n.worker, n.ready_at, n.due_at,
        n.started_at, n.finished_at, n.created_at
    from go cross join unnest($32::text[], $33::text[], $34::text[], $35::integer[], $36::integer[], $37::integer[],
        $38::text[], $39::integer[], $40::integer[], $41::integer[], $42::text[], $43::text[], $44::integer[],
        $45::jsonb[], $46::text[], $47::text[], $48::timestamptz[], $49::timestamptz[], $50::timestamptz[],
        $51::timestamptz[], $52::timestamptz[])
        as n(id, run_id, workflow_id, number, item_index, round, status, attempt, failures, losses, reason, error,
            exit_code, input, output, worker, ready_at, due_at, started_at, finished_at, created_at)
    left join runs r on r.id = n.run_id and n.workflow_id is null
    left join tasks t on t.workflow_id = coalesce(n.workflow_id, r.workflow_id) and t.number = n.number
    on conflict do nothing
    returning 1
), task_moved as (
    update task_runs t set status = n.status, attempt = n.attempt, failures = n.failures, losses = n.losses,
        reason = n.reason, error = n.error, exit_code = n.exit_code, input = n.input, output = n.output,
        worker = n.worker, ready_at = n.ready_at, due_at = n.due_at, started_at = n.started_at,
        finished_at = n.finished_at
    from unnest($53::text[], $54::text[], $55::integer[], $56::text[], $57::integer[], $58::integer[], $59::integer[],
        $60::text[], $61::text[], $62::integer[], $63::jsonb[], $64::text[], $65::text[], $66::timestamptz[],
        $67::timestamptz[], $68::timestamptz[], $69::timestamptz[])
        as n(id, expected, expected_attempt, status, attempt, failures, losses, reason, error, exit_code, input, output,
            worker, ready_at, due_at, started_at, finished_at),
        go
    where t.id = n.id and t.status = n.expected and t.attempt = n.expected_attempt
    returning 1
), past as (
    insert into state_history (shard, seq, entity_type, entity_id, old_state, new_state, attempt, reason, actor, changed_at)
    select n.* from unnest($70::smallint[], $71::bigint[], $72::text[], $73::text[], $74::text[], $75::text[],
        $76::integer[], $77::text[], $78::text[], $79::timestamptz[]) as n, go
), said as (
    insert into approvals (run_id, task_run_id, user_name, decision, note, decided_at)
    select n.run_id, n.task_run_id, n.user_name, n.decision, n.note, n.decided_at
    from go cross join unnest($80::text[], $81::text[], $82::text[], $83::text[], $84::text[], $85::timestamptz[])
        with ordinality as n(run_id, task_run_id, user_name, decision, note, decided_at, place)
    order by n.place
)
select relay_abort_if(missing <> 0, 'RL002', missing::text) as yes
from go, (
    select cardinality($5::text[]) + cardinality($21::text[]) + cardinality($32::text[]) + cardinality($53::text[])
        - (select count(*) from run_born) - (select count(*) from run_moved)
        - (select count(*) from task_born) - (select count(*) from task_moved) as missing
) as counted
