-- Takes migration 7 back. Refuses, with the count, while a Workflow's head would be lost.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE workflow_heads IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    n BIGINT;
BEGIN
    SELECT COUNT(*) INTO n FROM workflow_heads;
    IF n > 0 THEN
        RAISE EXCEPTION 'refusing to drop workflow_heads: % rows would be lost', n
            USING HINT = 'Delete these rows first, if they are not wanted; an operator makes them again from the Workflows.';
    END IF;
END $$;

DROP TABLE workflow_heads;
