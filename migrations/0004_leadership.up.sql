-- Migration 4: who may write, and in which order it happened.

-- A shard's leader proves by epoch and seq, in each commit, that it still is the leader.
-- The fillfactor leaves room for new versions of a row on its own page: these rows change with every commit.
CREATE TABLE shards (
    id SMALLINT PRIMARY KEY CHECK (id BETWEEN 0 AND 63),
    epoch BIGINT NOT NULL DEFAULT 0,
    seq BIGINT NOT NULL DEFAULT 0,
    holder TEXT,
    renewed_at TIMESTAMPTZ
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

INSERT INTO shards (id) SELECT generate_series(0, 63);

-- Every edge that a run or a task run took; (shard, seq) is its position, without gaps.
CREATE TABLE state_history (
    shard SMALLINT NOT NULL,
    seq BIGINT NOT NULL,
    entity_type TEXT NOT NULL CHECK (entity_type IN ('run', 'task_run')),
    entity_id TEXT NOT NULL,
    old_state TEXT,
    new_state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL CHECK (actor IN ('engine', 'worker', 'timer', 'user')),
    metadata JSONB,
    changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (shard, seq)
);

-- What happened to this run or task run, newest first.
CREATE INDEX idx_state_history_entity ON state_history(entity_id, entity_type, seq DESC);

-- A commit is one statement; this is how it gives up as a whole.
CREATE FUNCTION relay_abort_if(happened BOOLEAN, code TEXT, what TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF happened THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = what;
    END IF;
    RETURN TRUE;
END;
$$;

COMMENT ON TABLE shards IS 'Leadership: one row per shard, the fence of every commit';
COMMENT ON TABLE state_history IS 'Every state change of runs and task runs, by position';
