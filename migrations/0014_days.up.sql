-- Migration 14: history and logs by the day, so that what is too old goes as a whole; and runs that are on their way out.

-- All that writes waits here until the end, for as long as it takes to read both tables twice. In this order, which is that
-- of a commit: nobody waits in a circle.
LOCK TABLE runs, state_history, task_logs IN ACCESS EXCLUSIVE MODE;

-- A run with very many task runs goes in several transactions: from the first on nobody sees it any longer.
ALTER TABLE runs ADD COLUMN expiring BOOLEAN NOT NULL DEFAULT FALSE;

-- Makes the partition of a day (UTC), as the default one is. False where that day has one, or rows of it are in the
-- default partition already: there they stay. Attaching locks the new and the default partition alone, both for a moment,
-- and whoever waits for them longer than this gives up and comes again.
CREATE FUNCTION relay_add_day(of_table TEXT, on_day DATE) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SET lock_timeout = '200ms' AS $$
DECLARE
    part TEXT := of_table || to_char(on_day, '"_"YYYYMMDD');
    spare TEXT := of_table || '_default';
    kept_as TEXT;
BEGIN
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    SELECT coalesce('WITH (' || array_to_string(reloptions, ', ') || ')', '') INTO STRICT kept_as
        FROM pg_class WHERE oid = to_regclass(quote_ident(spare));
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) %s', part, spare, kept_as);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', of_table, part,
        on_day::timestamp AT TIME ZONE 'UTC', (on_day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN TRUE;
EXCEPTION
    -- Somebody else made it just now; it lies within a larger one; the default partition has rows of it.
    WHEN duplicate_table OR unique_violation OR invalid_object_definition OR check_violation THEN
        RETURN FALSE;
END;
$$;

-- Takes a partition away with all that is in it. It never waits: it has the locks that it needs at once, or it does nothing.
CREATE FUNCTION relay_drop_part(of_table TEXT, part TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    EXECUTE format('LOCK TABLE ONLY %I, ONLY %I, ONLY %I IN ACCESS EXCLUSIVE MODE NOWAIT',
        of_table, of_table || '_default', part);
    EXECUTE format('DROP TABLE %I', part);
    RETURN TRUE;
EXCEPTION
    WHEN lock_not_available OR undefined_table THEN
        RETURN FALSE;
END;
$$;

-- Removes a revision that nothing refers to. Deleting it would take its runs along, so it is locked first, which keeps new
-- runs from referring to it, and only then looked for: each statement here sees what is committed by then.
CREATE FUNCTION relay_drop_revision(revision_id TEXT, unused_since TIMESTAMPTZ) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM workflows WHERE id = revision_id AND updated_at < unused_since FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR EXISTS (SELECT FROM runs WHERE workflow_id = revision_id)
        OR EXISTS (SELECT FROM workflow_heads WHERE revision = revision_id) THEN
        RETURN FALSE;
    END IF;
    DELETE FROM workflows WHERE id = revision_id;
    RETURN TRUE;
END;
$$;

-- History. What was there becomes the first partition; it ends with this day, and goes once all of it is too old.
-- (shard, seq) is a key in each partition. Over all of them it is one because a commit takes its positions from the
-- shard's row, under that row's lock.
ALTER TABLE state_history RENAME TO state_history_before;
ALTER INDEX state_history_pkey RENAME TO state_history_before_pkey;
ALTER INDEX idx_state_history_entity RENAME TO idx_state_history_before_entity;
CREATE TABLE state_history (
    LIKE state_history_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE
) PARTITION BY RANGE (changed_at);
CREATE INDEX idx_state_history_entity ON state_history(entity_id, entity_type, seq DESC);
CREATE TABLE state_history_default (LIKE state_history_before INCLUDING ALL) WITH (
    fillfactor = 100,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
ALTER TABLE state_history ATTACH PARTITION state_history_default DEFAULT;

-- Logs. Their time is that which their worker told; one that lies far off is in the default partition. A line that comes
-- twice comes with the same time, so it meets itself in its partition.
-- No reference to the run any longer: it would lock `runs` whenever a partition comes or goes. Lines of a run that is gone
-- are shown to nobody, and go with their partition.
ALTER TABLE task_logs DROP CONSTRAINT task_logs_run_id_fkey;
ALTER TABLE task_logs RENAME TO task_logs_before;
ALTER INDEX task_logs_pkey RENAME TO task_logs_before_pkey;
ALTER INDEX idx_task_logs_run RENAME TO idx_task_logs_before_run;
ALTER INDEX idx_task_logs_task RENAME TO idx_task_logs_before_task;
-- One sequence for all partitions, from where the table's own one had come to.
CREATE SEQUENCE task_logs_all_position_seq;
SELECT setval('task_logs_all_position_seq', last_value, is_called) FROM task_logs_position_seq;
ALTER TABLE task_logs_before ALTER COLUMN position DROP IDENTITY;
ALTER SEQUENCE task_logs_all_position_seq RENAME TO task_logs_position_seq;
ALTER TABLE task_logs_before ALTER COLUMN position SET DEFAULT nextval('task_logs_position_seq');
CREATE TABLE task_logs (
    LIKE task_logs_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE
) PARTITION BY RANGE (at);
CREATE INDEX idx_task_logs_run ON task_logs(run_id, position);
CREATE INDEX idx_task_logs_task ON task_logs(run_id, task, position);
ALTER SEQUENCE task_logs_position_seq OWNED BY task_logs.position;
CREATE TABLE task_logs_default (LIKE task_logs_before INCLUDING ALL) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
ALTER TABLE task_logs ATTACH PARTITION task_logs_default DEFAULT;

-- The first days of each, and before them what was there: rows of later days than this one, by a clock that is ahead, go to
-- the default partition.
DO $$
DECLARE
    today DATE := (now() AT TIME ZONE 'UTC')::date;
    tomorrow TIMESTAMPTZ := (today + 1)::timestamp AT TIME ZONE 'UTC';
    kept BOOLEAN;
BEGIN
    WITH late AS (DELETE FROM state_history_before WHERE changed_at >= tomorrow RETURNING *)
        INSERT INTO state_history_default SELECT * FROM late;
    SELECT EXISTS (SELECT FROM state_history_before) INTO kept;
    IF kept THEN
        EXECUTE format('ALTER TABLE state_history ATTACH PARTITION state_history_before FOR VALUES FROM (MINVALUE) TO (%L)', tomorrow);
    ELSE
        DROP TABLE state_history_before;
    END IF;

    WITH late AS (DELETE FROM task_logs_before WHERE at >= tomorrow RETURNING *)
        INSERT INTO task_logs_default SELECT * FROM late;
    SELECT EXISTS (SELECT FROM task_logs_before) INTO kept;
    IF kept THEN
        EXECUTE format('ALTER TABLE task_logs ATTACH PARTITION task_logs_before FOR VALUES FROM (MINVALUE) TO (%L)', tomorrow);
    ELSE
        DROP TABLE task_logs_before;
    END IF;

    PERFORM relay_add_day(of_table, today + n)
        FROM unnest(ARRAY['state_history', 'task_logs']) of_table, generate_series(0, 3) n;
END $$;

COMMENT ON TABLE state_history IS 'Every state change of runs and task runs, by position; a partition a day';
COMMENT ON TABLE task_logs IS 'Lines that tasks write, by attempt; a partition a day';
