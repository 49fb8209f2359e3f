-- Takes migration 2 back. Refuses, with counts, while a row is in a state that the base schema does not know.

-- Locked before counting: no row may come in between the count and the new list.
LOCK TABLE runs, task_runs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    strange_runs BIGINT;
    strange_task_runs BIGINT;
BEGIN
    SELECT COUNT(*) INTO strange_runs FROM runs WHERE status = 'QUEUED';
    SELECT COUNT(*) INTO strange_task_runs FROM task_runs WHERE status IN ('RETRYING', 'SKIPPED', 'UPSTREAM_FAILED');
    IF strange_runs + strange_task_runs > 0 THEN
        RAISE EXCEPTION 'refusing to go back to the base schema''s states: % runs and % task_runs are in states that it does not know',
            strange_runs, strange_task_runs
            USING HINT = 'Delete these runs first, if they are not wanted.';
    END IF;
END $$;

ALTER TABLE runs
    DROP CONSTRAINT runs_status_check,
    ADD CONSTRAINT runs_status_check CHECK (status IN ('RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED'));

ALTER TABLE task_runs
    DROP CONSTRAINT task_runs_status_check,
    ADD CONSTRAINT task_runs_status_check CHECK (status IN (
        'PENDING',
        'READY',
        'QUEUED',
        'RUNNING',
        'SUCCESS',
        'FAILED',
        'BLOCKED',
        'CANCELLED'
    ));
