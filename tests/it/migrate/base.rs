//! The base schema, as the contract with tools outside Relay states it: written down by hand, not read from a database.

/// One object a line, in the order of their names.
pub const BASE: &str = "\
column artifacts.content: text not null
column artifacts.content_type: text not null default 'text/plain'::text
column artifacts.created_at: timestamp with time zone not null default now()
column artifacts.id: text not null
column artifacts.task_run_id: text not null
column dependencies.depends_on_task_id: text not null
column dependencies.id: integer not null default nextval('dependencies_id_seq'::regclass)
column dependencies.task_id: text not null
column dependencies.workflow_id: text not null
column runs.finished_at: timestamp with time zone
column runs.id: text not null
column runs.input: jsonb
column runs.started_at: timestamp with time zone not null default now()
column runs.status: text not null
column runs.workflow_id: text not null
column task_runs.attempt: integer not null default 0
column task_runs.created_at: timestamp with time zone not null default now()
column task_runs.error: text
column task_runs.finished_at: timestamp with time zone
column task_runs.heartbeat_at: timestamp with time zone
column task_runs.id: text not null
column task_runs.input: jsonb
column task_runs.output: text
column task_runs.run_id: text not null
column task_runs.started_at: timestamp with time zone
column task_runs.status: text not null
column task_runs.task_id: text not null
column task_runs.workflow_id: text not null
column tasks.config: jsonb not null
column tasks.id: text not null
column tasks.name: text not null
column tasks.requires_approval: boolean not null default false
column tasks.workflow_id: text not null
column workflows.created_at: timestamp with time zone not null default now()
column workflows.definition: jsonb not null
column workflows.id: text not null
column workflows.name: text not null
column workflows.updated_at: timestamp with time zone not null default now()
comment on table artifacts: Task output storage
comment on table dependencies: DAG edges defining task dependencies
comment on table runs: Workflow execution instances
comment on table task_runs: Individual task execution instances - THE STATE MACHINE
comment on table tasks: Task definitions within workflows
comment on table workflows: Workflow definitions from YAML files
constraint artifacts_pkey on artifacts: PRIMARY KEY (id)
constraint artifacts_task_run_id_fkey on artifacts: FOREIGN KEY (task_run_id) REFERENCES task_runs(id) ON DELETE CASCADE
constraint dependencies_depends_on_task_id_workflow_id_fkey on dependencies: FOREIGN KEY (depends_on_task_id, workflow_id) REFERENCES tasks(id, workflow_id) ON DELETE CASCADE
constraint dependencies_pkey on dependencies: PRIMARY KEY (id)
constraint dependencies_task_id_workflow_id_fkey on dependencies: FOREIGN KEY (task_id, workflow_id) REFERENCES tasks(id, workflow_id) ON DELETE CASCADE
constraint dependencies_workflow_id_fkey on dependencies: FOREIGN KEY (workflow_id) REFERENCES workflows(id) ON DELETE CASCADE
constraint dependencies_workflow_id_task_id_depends_on_task_id_key on dependencies: UNIQUE (workflow_id, task_id, depends_on_task_id)
constraint runs_pkey on runs: PRIMARY KEY (id)
constraint runs_status_check on runs: CHECK ((status = ANY (ARRAY['RUNNING'::text, 'SUCCESS'::text, 'FAILED'::text, 'CANCELLED'::text])))
constraint runs_workflow_id_fkey on runs: FOREIGN KEY (workflow_id) REFERENCES workflows(id) ON DELETE CASCADE
constraint task_runs_pkey on task_runs: PRIMARY KEY (id)
constraint task_runs_run_id_fkey on task_runs: FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
constraint task_runs_status_check on task_runs: CHECK ((status = ANY (ARRAY['PENDING'::text, 'READY'::text, 'QUEUED'::text, 'RUNNING'::text, 'SUCCESS'::text, 'FAILED'::text, 'BLOCKED'::text, 'CANCELLED'::text])))
constraint task_runs_task_id_workflow_id_fkey on task_runs: FOREIGN KEY (task_id, workflow_id) REFERENCES tasks(id, workflow_id)
constraint task_runs_workflow_id_fkey on task_runs: FOREIGN KEY (workflow_id) REFERENCES workflows(id) ON DELETE CASCADE
constraint tasks_pkey on tasks: PRIMARY KEY (id, workflow_id)
constraint tasks_workflow_id_fkey on tasks: FOREIGN KEY (workflow_id) REFERENCES workflows(id) ON DELETE CASCADE
constraint workflows_pkey on workflows: PRIMARY KEY (id)
function update_updated_at_column(): returns trigger, plpgsql: BEGIN NEW.updated_at = NOW(); RETURN NEW; END;
index idx_artifacts_task_run_id on artifacts: CREATE INDEX idx_artifacts_task_run_id ON artifacts USING btree (task_run_id)
index idx_dependencies_depends_on on dependencies: CREATE INDEX idx_dependencies_depends_on ON dependencies USING btree (workflow_id, depends_on_task_id)
index idx_dependencies_task on dependencies: CREATE INDEX idx_dependencies_task ON dependencies USING btree (workflow_id, task_id)
index idx_runs_started_at on runs: CREATE INDEX idx_runs_started_at ON runs USING btree (started_at DESC)
index idx_runs_status on runs: CREATE INDEX idx_runs_status ON runs USING btree (status)
index idx_runs_workflow_id on runs: CREATE INDEX idx_runs_workflow_id ON runs USING btree (workflow_id)
index idx_task_runs_heartbeat on task_runs: CREATE INDEX idx_task_runs_heartbeat ON task_runs USING btree (heartbeat_at) WHERE (status = 'RUNNING'::text)
index idx_task_runs_run_id on task_runs: CREATE INDEX idx_task_runs_run_id ON task_runs USING btree (run_id)
index idx_task_runs_status_run on task_runs: CREATE INDEX idx_task_runs_status_run ON task_runs USING btree (status, run_id)
index idx_task_runs_task_workflow on task_runs: CREATE INDEX idx_task_runs_task_workflow ON task_runs USING btree (task_id, workflow_id)
index idx_tasks_workflow_id on tasks: CREATE INDEX idx_tasks_workflow_id ON tasks USING btree (workflow_id)
index idx_workflows_created_at on workflows: CREATE INDEX idx_workflows_created_at ON workflows USING btree (created_at DESC)
table artifacts: table
table dependencies: table
table runs: table
table task_runs: table
table tasks: table
table workflows: table
trigger workflows_updated_at on workflows: CREATE TRIGGER workflows_updated_at BEFORE UPDATE ON workflows FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()";
