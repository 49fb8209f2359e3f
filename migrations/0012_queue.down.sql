-- Takes migration 12 back. Refuses, with counts, while a job or a report is there, or a worker that would lose its queue.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE jobs, reports, queue_workers, queue_pools IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    waiting BIGINT;
    told BIGINT;
    working BIGINT;
BEGIN
    SELECT COUNT(*) INTO waiting FROM jobs;
    SELECT COUNT(*) INTO told FROM reports;
    SELECT COUNT(*) INTO working FROM queue_workers WHERE beat_at > clock_timestamp() - INTERVAL '30 s';
    IF waiting + told + working > 0 THEN
        RAISE EXCEPTION 'refusing to drop the queue: % jobs, % reports and % workers would be lost', waiting, told, working
            USING HINT = 'Let the runs end and stop the workers first; rows that are left over may be deleted.';
    END IF;
END $$;

DROP TABLE queue_workers;
DROP TABLE reports;
DROP TABLE jobs;
DROP TABLE queue_pools;
