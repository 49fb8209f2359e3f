-- Migration 11: who made each attempt of a task run, from when to when, and how it ended.

-- A row comes with RUNNING and is written once more at its end; a short attempt is one write. An attempt that was lost
-- before anybody told of it has neither worker nor start. It is written in the commit of the transition, so it is
-- fenced as that is, and no row here says what `state_history` does not.
CREATE TABLE attempts (
    task_run_id TEXT NOT NULL REFERENCES task_runs(id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    worker TEXT,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    reason TEXT,
    exit_code INTEGER,
    PRIMARY KEY (task_run_id, attempt)
);

-- The end changes no column of an index: with room on the page it is a HOT update, and vacuum has little to do.
ALTER TABLE attempts SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

COMMENT ON TABLE attempts IS 'Attempts of task runs: worker, start, end, why it ended; gone with their task run';
