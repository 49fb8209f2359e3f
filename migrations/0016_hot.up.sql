-- Migration 16: an edge of a task run touches no index.
-- The base schema has two indexes of task_runs in which its status takes part, for pollers: claiming by status, and heartbeats.
-- Relay's leader has live task runs in memory and asks for none by status, and beats are told to the queue. With them every
-- edge wrote a new entry into each of the five indexes of the row; without them it is a HOT update while there is room on
-- the page, and what it leaves is cleared away by the next one that comes by.

-- Whoever found them useless before us may have dropped them already.
DROP INDEX IF EXISTS idx_task_runs_status_run;
DROP INDEX IF EXISTS idx_task_runs_heartbeat;

-- A commit may move every row of a page: there is room for a second version of each.
ALTER TABLE task_runs SET (fillfactor = 50);
