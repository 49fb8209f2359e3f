-- Takes migration 14 back: history and logs in one table each, copied together. No row of a run is lost; lines of runs that
-- are gone, which nobody is shown any longer, are left behind. Refuses while a run is on its way out: the schema before
-- would show what is left of it as if it were whole.

-- Locked before counting: no row may come in between.
LOCK TABLE runs, state_history, task_logs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    n BIGINT;
BEGIN
    SELECT COUNT(*) INTO n FROM runs WHERE expiring;
    IF n > 0 THEN
        RAISE EXCEPTION 'refusing to forget what is being removed: % runs are on their way out', n
            USING HINT = 'Let the operator end its pass first, or delete these runs.';
    END IF;
END $$;

ALTER TABLE runs DROP COLUMN expiring;

CREATE TABLE state_history_whole (
    shard SMALLINT NOT NULL,
    seq BIGINT NOT NULL,
    entity_type TEXT NOT NULL CONSTRAINT state_history_entity_type_check CHECK (entity_type IN ('run', 'task_run')),
    entity_id TEXT NOT NULL,
    old_state TEXT,
    new_state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL CONSTRAINT state_history_actor_check CHECK (actor IN ('engine', 'worker', 'timer', 'user')),
    metadata JSONB,
    changed_at TIMESTAMPTZ NOT NULL
);
INSERT INTO state_history_whole SELECT * FROM state_history;
DROP TABLE state_history;
ALTER TABLE state_history_whole RENAME TO state_history;
ALTER TABLE state_history ADD PRIMARY KEY (shard, seq);
CREATE INDEX idx_state_history_entity ON state_history(entity_id, entity_type, seq DESC);
ALTER TABLE state_history SET (
    fillfactor = 100,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
COMMENT ON TABLE state_history IS 'Every state change of runs and task runs, by position';

CREATE TABLE task_logs_whole (
    task_run_id TEXT NOT NULL,
    attempt INTEGER NOT NULL CONSTRAINT task_logs_attempt_check CHECK (attempt >= 0),
    number BIGINT NOT NULL CONSTRAINT task_logs_number_check CHECK (number >= 0),
    run_id TEXT NOT NULL,
    task INTEGER NOT NULL,
    position BIGINT NOT NULL,
    stream TEXT NOT NULL CONSTRAINT task_logs_stream_check CHECK (stream IN ('stdout', 'stderr')),
    at TIMESTAMPTZ NOT NULL,
    text TEXT NOT NULL,
    partial BOOLEAN NOT NULL
);
-- A line that a worker told twice, with another time, is one line again: the first.
INSERT INTO task_logs_whole
    SELECT DISTINCT ON (l.task_run_id, l.attempt, l.number) l.* FROM task_logs l
    WHERE EXISTS (SELECT FROM runs r WHERE r.id = l.run_id)
    ORDER BY l.task_run_id, l.attempt, l.number, l.position;
CREATE TEMPORARY TABLE relay_position ON COMMIT DROP AS SELECT last_value, is_called FROM task_logs_position_seq;
DROP TABLE task_logs;
ALTER TABLE task_logs_whole RENAME TO task_logs;
ALTER TABLE task_logs ALTER COLUMN position ADD GENERATED ALWAYS AS IDENTITY;
SELECT setval(pg_get_serial_sequence('task_logs', 'position'), last_value, is_called) FROM relay_position;
ALTER TABLE task_logs
    ADD PRIMARY KEY (task_run_id, attempt, number),
    ADD CONSTRAINT task_logs_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE;
CREATE INDEX idx_task_logs_run ON task_logs(run_id, position);
CREATE INDEX idx_task_logs_task ON task_logs(run_id, task, position);
ALTER TABLE task_logs SET (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
COMMENT ON TABLE task_logs IS 'Lines that tasks write, by attempt; gone with their run';

DROP FUNCTION relay_drop_revision(TEXT, TIMESTAMPTZ);
DROP FUNCTION relay_drop_part(TEXT, TEXT);
DROP FUNCTION relay_add_day(TEXT, DATE);
