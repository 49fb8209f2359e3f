-- Takes migration 9 back. Refuses, with counts, while it would be forgotten whose database this is or who is vouched for.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE cluster, approvals, runs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    claims BIGINT;
    vouched BIGINT;
BEGIN
    SELECT COUNT(*) INTO claims FROM cluster;
    SELECT COUNT(*) INTO vouched FROM approvals WHERE verified;
    IF claims + vouched > 0 THEN
        RAISE EXCEPTION 'refusing to forget what a cluster relies on: % rows of cluster and % verified approvals would be lost',
            claims, vouched
            USING HINT = 'Stop Relay in the cluster first, then delete these rows, if they are not wanted.';
    END IF;
END $$;

DROP INDEX idx_runs_name;
ALTER TABLE approvals DROP COLUMN verified;
DROP TABLE cluster;
