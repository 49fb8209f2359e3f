-- Migration 8: the lines that tasks write, kept as long as their run.

-- `position` is the order in which lines came, and so the place in which a reader goes on. Whoever adds lines takes a
-- lock first (src/store/postgres/logs.rs), so that no smaller position comes to light after a larger one. It rises with
-- time: should the table be cut into partitions one day, it is what they are cut by.
-- One reference, to the run: each one costs every line a look-up. Lines of an unknown task run are not added at all.
CREATE TABLE task_logs (
    task_run_id TEXT NOT NULL,
    attempt INTEGER NOT NULL CHECK (attempt >= 0),
    number BIGINT NOT NULL CHECK (number >= 0),
    run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    task INTEGER NOT NULL,
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    stream TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    at TIMESTAMPTZ NOT NULL,
    text TEXT NOT NULL,
    partial BOOLEAN NOT NULL,
    PRIMARY KEY (task_run_id, attempt, number)
);

-- A run's lines, and those of one of its tasks with all its items.
CREATE INDEX idx_task_logs_run ON task_logs(run_id, position);
CREATE INDEX idx_task_logs_task ON task_logs(run_id, task, position);

-- Only ever added to: vacuum by inserts, so that freezing comes in small pieces.
ALTER TABLE task_logs SET (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

COMMENT ON TABLE task_logs IS 'Lines that tasks write, by attempt; gone with their run';
