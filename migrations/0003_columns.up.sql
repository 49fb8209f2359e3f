-- Migration 3: what Relay keeps of a revision, a run and a task run beyond the base schema's columns.
-- A column that rows made before cannot have is nullable; Relay itself always fills it.

-- In a transaction of its own, after migration 2: validating reads the table without stopping its writers.
ALTER TABLE runs VALIDATE CONSTRAINT runs_status_check;
ALTER TABLE task_runs VALIDATE CONSTRAINT task_runs_status_check;

ALTER TABLE workflows ADD COLUMN namespace TEXT;

-- The task's place over tasks, then finally: the <task no> in the ids of its task runs.
ALTER TABLE tasks
    ADD COLUMN number INTEGER,
    ADD CONSTRAINT tasks_number_check CHECK (number >= 0),
    ADD CONSTRAINT tasks_workflow_id_number_key UNIQUE (workflow_id, number);

ALTER TABLE runs
    ADD COLUMN namespace TEXT,
    ADD COLUMN name TEXT,
    ADD COLUMN shard SMALLINT,
    ADD COLUMN reason TEXT,
    ADD COLUMN error TEXT,
    ADD COLUMN outputs JSONB,
    ADD COLUMN stop_reason TEXT,
    ADD COLUMN stop_finally BOOLEAN,
    ADD COLUMN created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    ADD COLUMN finally_at TIMESTAMPTZ,
    ADD CONSTRAINT runs_shard_check CHECK (shard BETWEEN 0 AND 63),
    ADD CONSTRAINT runs_stop_check CHECK ((stop_reason IS NULL) = (stop_finally IS NULL));

-- A run made before was accepted when it started, as far as anybody knows.
UPDATE runs SET created_at = started_at;

-- What a new leader of a shard loads, oldest first.
CREATE INDEX idx_runs_live ON runs(shard, created_at, id) WHERE status IN ('QUEUED', 'RUNNING');

ALTER TABLE task_runs
    ADD COLUMN item_index INTEGER,
    ADD COLUMN round INTEGER NOT NULL DEFAULT 1,
    ADD COLUMN failures INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN losses INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN reason TEXT,
    ADD COLUMN exit_code INTEGER,
    ADD COLUMN worker TEXT,
    ADD COLUMN ready_at TIMESTAMPTZ,
    ADD COLUMN due_at TIMESTAMPTZ,
    ADD CONSTRAINT task_runs_item_index_check CHECK (item_index >= 0),
    ADD CONSTRAINT task_runs_round_check CHECK (round >= 1),
    -- A task, and a forEach's group, has no index, and is there once a round all the same.
    ADD CONSTRAINT task_runs_place_key UNIQUE NULLS NOT DISTINCT (run_id, task_id, item_index, round);
