-- Migration 15: a task is there once a round because its id says which task and round it is (`<run>.<task no>.<item or ->.<round>`).
-- A second key over the same was the largest index of the table, written at every edge, and no query asked for it.

ALTER TABLE task_runs DROP CONSTRAINT task_runs_place_key;
