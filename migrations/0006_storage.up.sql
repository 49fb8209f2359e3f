-- Migration 6: how the busy tables are kept. Nothing here changes what they hold.
-- A change of status moves entries in the base schema's indexes, so it is never a HOT update, and dead rows and index
-- entries pile up by the thousand a second: vacuum comes by a share of 1 in 50 instead of 1 in 5, and does not dawdle.

-- Room on the page keeps a row's next version beside it: fewer pages to write at each checkpoint.
ALTER TABLE task_runs SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);

-- Some updates of a run leave its status alone (a stop, the start of finally): these are HOT where there is room.
ALTER TABLE runs SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);

-- Only ever added to: full pages, and vacuum by inserts, so that freezing comes in small pieces.
ALTER TABLE state_history SET (
    fillfactor = 100,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
