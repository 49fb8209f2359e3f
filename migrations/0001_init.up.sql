-- Migration 1: the base schema. Six tables, from a workflow's definition down to the artifacts of a task's execution.
-- Names and shapes here are a contract with tools outside Relay: later migrations add to them and never rename.
-- infra/migrations/001_init.sql is a byte-for-byte copy of this file; a test compares the two.

-- Workflows: one row per definition. `definition` is the whole document, so that a row explains itself without its manifest.
CREATE TABLE workflows (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    definition JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE INDEX idx_workflows_created_at ON workflows(created_at DESC);

-- Runs: one execution of a workflow with its input.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL REFERENCES workflows(id) ON DELETE CASCADE,
    status TEXT NOT NULL CHECK (status IN ('RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED')),
    input JSONB,
    started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    finished_at TIMESTAMPTZ
);

CREATE INDEX idx_runs_workflow_id ON runs(workflow_id);
CREATE INDEX idx_runs_status ON runs(status);
CREATE INDEX idx_runs_started_at ON runs(started_at DESC);

-- Tasks: the nodes of a workflow's graph. An id is unique within its workflow only, hence the key of two columns.
CREATE TABLE tasks (
    id TEXT NOT NULL,
    workflow_id TEXT NOT NULL REFERENCES workflows(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    config JSONB NOT NULL,
    requires_approval BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (id, workflow_id)
);

CREATE INDEX idx_tasks_workflow_id ON tasks(workflow_id);

-- Dependencies: the edges of the graph. Both ends carry the workflow's id, so an edge cannot cross workflows.
CREATE TABLE dependencies (
    id SERIAL PRIMARY KEY,
    workflow_id TEXT NOT NULL REFERENCES workflows(id) ON DELETE CASCADE,
    task_id TEXT NOT NULL,
    depends_on_task_id TEXT NOT NULL,
    FOREIGN KEY (task_id, workflow_id) REFERENCES tasks(id, workflow_id) ON DELETE CASCADE,
    FOREIGN KEY (depends_on_task_id, workflow_id) REFERENCES tasks(id, workflow_id) ON DELETE CASCADE,
    UNIQUE (workflow_id, task_id, depends_on_task_id)
);

CREATE INDEX idx_dependencies_task ON dependencies(workflow_id, task_id);
CREATE INDEX idx_dependencies_depends_on ON dependencies(workflow_id, depends_on_task_id);

-- Task runs: one execution of one task, the row whose status is the state machine.
CREATE TABLE task_runs (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    task_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL REFERENCES workflows(id) ON DELETE CASCADE,
    status TEXT NOT NULL CHECK (status IN (
        'PENDING',
        'READY',
        'QUEUED',
        'RUNNING',
        'SUCCESS',
        'FAILED',
        'BLOCKED',
        'CANCELLED'
    )),
    attempt INTEGER NOT NULL DEFAULT 0,
    input JSONB,
    output TEXT,
    error TEXT,
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    heartbeat_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    FOREIGN KEY (task_id, workflow_id) REFERENCES tasks(id, workflow_id)
);

CREATE INDEX idx_task_runs_status_run ON task_runs(status, run_id);
CREATE INDEX idx_task_runs_run_id ON task_runs(run_id);
-- Partial: only what runs has a heartbeat worth looking for.
CREATE INDEX idx_task_runs_heartbeat ON task_runs(heartbeat_at) WHERE status = 'RUNNING';
CREATE INDEX idx_task_runs_task_workflow ON task_runs(task_id, workflow_id);

-- Artifacts: outputs kept apart from task_runs, so that a large one does not weigh on the busy table.
CREATE TABLE artifacts (
    id TEXT PRIMARY KEY,
    task_run_id TEXT NOT NULL REFERENCES task_runs(id) ON DELETE CASCADE,
    content TEXT NOT NULL,
    content_type TEXT NOT NULL DEFAULT 'text/plain',
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE INDEX idx_artifacts_task_run_id ON artifacts(task_run_id);

-- workflows.updated_at follows every UPDATE by itself.
CREATE OR REPLACE FUNCTION update_updated_at_column()
RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER workflows_updated_at
    BEFORE UPDATE ON workflows
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

COMMENT ON TABLE workflows IS 'Workflow definitions from YAML files';
COMMENT ON TABLE runs IS 'Workflow execution instances';
COMMENT ON TABLE tasks IS 'Task definitions within workflows';
COMMENT ON TABLE dependencies IS 'DAG edges defining task dependencies';
COMMENT ON TABLE task_runs IS 'Individual task execution instances - THE STATE MACHINE';
COMMENT ON TABLE artifacts IS 'Task output storage';

-- The file checks itself: whoever applies it by hand learns at once whether it is whole.
-- Only this schema is counted: a table of the same name in another one proves nothing.
DO $$
BEGIN
    ASSERT (SELECT COUNT(*) FROM information_schema.tables
            WHERE table_schema = current_schema()
            AND table_name IN ('workflows', 'runs', 'tasks', 'dependencies', 'task_runs', 'artifacts')) = 6,
        'All 6 tables must be created';

    RAISE NOTICE 'Schema initialized successfully';
END $$;
