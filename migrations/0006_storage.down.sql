-- Takes migration 6 back. Nothing is lost.

ALTER TABLE state_history RESET (
    fillfactor,
    autovacuum_vacuum_insert_scale_factor,
    autovacuum_analyze_scale_factor
);

ALTER TABLE runs RESET (
    fillfactor,
    autovacuum_vacuum_scale_factor,
    autovacuum_analyze_scale_factor,
    autovacuum_vacuum_cost_delay
);

ALTER TABLE task_runs RESET (
    fillfactor,
    autovacuum_vacuum_scale_factor,
    autovacuum_analyze_scale_factor,
    autovacuum_vacuum_cost_delay
);
