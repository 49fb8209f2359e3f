-- Migration 5: what people said of the tasks that asked them. Rows are only ever added.

CREATE TABLE approvals (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    task_run_id TEXT NOT NULL REFERENCES task_runs(id) ON DELETE CASCADE,
    user_name TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('approved', 'rejected')),
    note TEXT,
    decided_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX idx_approvals_run_id ON approvals(run_id);
CREATE INDEX idx_approvals_task_run_id ON approvals(task_run_id);

-- A row goes only together with the task run or the run that it speaks of, which a cascade has removed by the time it
-- comes here; nobody takes back or rewords what was said.
CREATE FUNCTION approvals_are_append_only() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM runs WHERE id = OLD.run_id)
            OR NOT EXISTS (SELECT FROM task_runs WHERE id = OLD.task_run_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'approvals are append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER approvals_append_only
    BEFORE UPDATE OR DELETE ON approvals
    FOR EACH ROW
    EXECUTE FUNCTION approvals_are_append_only();

CREATE TRIGGER approvals_no_truncate
    BEFORE TRUNCATE ON approvals
    FOR EACH STATEMENT
    EXECUTE FUNCTION approvals_are_append_only();

COMMENT ON TABLE approvals IS 'Decisions of people, append-only';
