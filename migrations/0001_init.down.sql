-- Takes migration 1 back. Refuses, with a count per table, while any row would be lost.

-- Locked before counting: no row may come in between the count and the drop.
LOCK TABLE workflows, runs, tasks, dependencies, task_runs, artifacts IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    one TEXT;
    n BIGINT;
    found TEXT := '';
BEGIN
    FOREACH one IN ARRAY ARRAY['workflows', 'runs', 'tasks', 'dependencies', 'task_runs', 'artifacts'] LOOP
        EXECUTE format('SELECT COUNT(*) FROM %I', one) INTO n;
        IF n > 0 THEN
            found := concat_ws(', ', NULLIF(found, ''), format('%s %s', n, one));
        END IF;
    END LOOP;

    IF found <> '' THEN
        RAISE EXCEPTION 'refusing to drop the base schema: rows would be lost: %', found
            USING HINT = 'Delete these rows first, or drop the database, if they are not wanted.';
    END IF;
END $$;

-- In the order of the references, and without CASCADE: an object that Relay does not know stops the drop.
DROP TABLE artifacts;
DROP TABLE task_runs;
DROP TABLE dependencies;
DROP TABLE tasks;
DROP TABLE runs;
DROP TABLE workflows;
DROP FUNCTION update_updated_at_column();
