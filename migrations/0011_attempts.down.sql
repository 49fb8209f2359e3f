-- Takes migration 11 back. Refuses, with the count, while an attempt would be lost.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    n BIGINT;
BEGIN
    SELECT COUNT(*) INTO n FROM attempts;
    IF n > 0 THEN
        RAISE EXCEPTION 'refusing to drop attempts: % rows would be lost', n
            USING HINT = 'Keep a copy and delete these rows, if they are not wanted.';
    END IF;
END $$;

DROP TABLE attempts;
