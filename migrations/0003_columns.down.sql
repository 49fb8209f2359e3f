-- Takes migration 3 back. Refuses, with counts, while a row holds something in the columns that would go.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE workflows, tasks, runs, task_runs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    rich_workflows BIGINT;
    rich_tasks BIGINT;
    rich_runs BIGINT;
    rich_task_runs BIGINT;
BEGIN
    SELECT COUNT(*) INTO rich_workflows FROM workflows WHERE namespace IS NOT NULL;
    SELECT COUNT(*) INTO rich_tasks FROM tasks WHERE number IS NOT NULL;
    SELECT COUNT(*) INTO rich_runs FROM runs
    WHERE num_nonnulls(namespace, name, shard, reason, error, outputs, stop_reason, finally_at) > 0
        OR created_at <> started_at;
    SELECT COUNT(*) INTO rich_task_runs FROM task_runs
    WHERE num_nonnulls(item_index, reason, exit_code, worker, ready_at, due_at) > 0
        OR round <> 1 OR failures <> 0 OR losses <> 0;
    IF rich_workflows + rich_tasks + rich_runs + rich_task_runs > 0 THEN
        RAISE EXCEPTION 'refusing to drop columns in use: % workflows, % tasks, % runs and % task_runs would lose what is in them',
            rich_workflows, rich_tasks, rich_runs, rich_task_runs
            USING HINT = 'Delete these rows first, if they are not wanted.';
    END IF;
END $$;

ALTER TABLE task_runs
    DROP CONSTRAINT task_runs_place_key,
    DROP CONSTRAINT task_runs_round_check,
    DROP CONSTRAINT task_runs_item_index_check,
    DROP COLUMN due_at,
    DROP COLUMN ready_at,
    DROP COLUMN worker,
    DROP COLUMN exit_code,
    DROP COLUMN reason,
    DROP COLUMN losses,
    DROP COLUMN failures,
    DROP COLUMN round,
    DROP COLUMN item_index;

DROP INDEX idx_runs_live;

ALTER TABLE runs
    DROP CONSTRAINT runs_stop_check,
    DROP CONSTRAINT runs_shard_check,
    DROP COLUMN finally_at,
    DROP COLUMN created_at,
    DROP COLUMN stop_finally,
    DROP COLUMN stop_reason,
    DROP COLUMN outputs,
    DROP COLUMN error,
    DROP COLUMN reason,
    DROP COLUMN shard,
    DROP COLUMN name,
    DROP COLUMN namespace;

ALTER TABLE tasks
    DROP CONSTRAINT tasks_workflow_id_number_key,
    DROP CONSTRAINT tasks_number_check,
    DROP COLUMN number;

ALTER TABLE workflows DROP COLUMN namespace;
