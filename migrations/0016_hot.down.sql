-- Takes migration 16 back. Nothing is lost; making the indexes reads the table once.

ALTER TABLE task_runs SET (fillfactor = 80);

CREATE INDEX idx_task_runs_status_run ON task_runs(status, run_id);
CREATE INDEX idx_task_runs_heartbeat ON task_runs(heartbeat_at) WHERE status = 'RUNNING';
