-- Takes migration 15 back. Nothing is lost.

ALTER TABLE task_runs
    ADD CONSTRAINT task_runs_place_key UNIQUE NULLS NOT DISTINCT (run_id, task_id, item_index, round);
