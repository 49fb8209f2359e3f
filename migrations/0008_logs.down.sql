-- Takes migration 8 back. Refuses, with the count, while a line would be lost.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE task_logs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    n BIGINT;
BEGIN
    SELECT COUNT(*) INTO n FROM task_logs;
    IF n > 0 THEN
        RAISE EXCEPTION 'refusing to drop task_logs: % rows would be lost', n
            USING HINT = 'Keep a copy and delete these rows, if they are not wanted.';
    END IF;
END $$;

DROP TABLE task_logs;
