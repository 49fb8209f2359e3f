-- Migration 2: the states that Relay's machines have beyond the base schema's.
-- Added NOT VALID, so that the tables are locked for a moment only; migration 3 validates them.
-- The lists are those of TaskStatus and RunStatus in src/model/status.rs; a test compares them.

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
        'CANCELLED',
        'RETRYING',
        'SKIPPED',
        'UPSTREAM_FAILED'
    )) NOT VALID;

ALTER TABLE runs
    DROP CONSTRAINT runs_status_check,
    ADD CONSTRAINT runs_status_check CHECK (status IN ('RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED', 'QUEUED')) NOT VALID;
