-- Takes migration 4 back. Refuses, with counts, while a leader is alive or history would be lost.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE shards, state_history IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    led BIGINT;
    past BIGINT;
BEGIN
    SELECT COUNT(*) INTO led FROM shards WHERE holder IS NOT NULL AND renewed_at > clock_timestamp() - INTERVAL '4 seconds';
    SELECT COUNT(*) INTO past FROM state_history;
    IF led > 0 THEN
        RAISE EXCEPTION 'refusing to drop shards: % of them have a leader that is alive', led
            USING HINT = 'Stop Relay first.';
    END IF;
    IF past > 0 THEN
        RAISE EXCEPTION 'refusing to drop state_history: % rows would be lost', past
            USING HINT = 'Delete these rows first, if they are not wanted.';
    END IF;
END $$;

DROP FUNCTION relay_abort_if(BOOLEAN, TEXT, TEXT);
DROP TABLE state_history;
DROP TABLE shards;
