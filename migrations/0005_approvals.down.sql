-- Takes migration 5 back. Refuses, with the count, while a decision would be lost.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE approvals IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    n BIGINT;
BEGIN
    SELECT COUNT(*) INTO n FROM approvals;
    IF n > 0 THEN
        RAISE EXCEPTION 'refusing to drop approvals: % rows would be lost', n
            USING HINT = 'Keep a copy and delete the runs that they belong to, if they are not wanted.';
    END IF;
END $$;

DROP TABLE approvals;
DROP FUNCTION approvals_are_append_only();
