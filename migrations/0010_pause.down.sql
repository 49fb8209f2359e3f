-- Takes migration 10 back. Refuses, with the count, while a live run is paused or was: its timeout would come too early.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE runs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    paused BIGINT;
BEGIN
    SELECT COUNT(*) INTO paused FROM runs
    WHERE status IN ('QUEUED', 'RUNNING') AND (paused_at IS NOT NULL OR paused_us > 0);
    IF paused > 0 THEN
        RAISE EXCEPTION 'refusing to drop columns in use: % live runs are or were paused', paused
            USING HINT = 'Let these runs end first, or cancel them.';
    END IF;
END $$;

ALTER TABLE runs
    DROP COLUMN paused_us,
    DROP COLUMN paused_at;
