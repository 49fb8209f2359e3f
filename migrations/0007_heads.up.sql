-- Migration 7: what each Workflow's name points at now. Revisions are immutable; a head is rewritten when its Workflow
-- changes, and only then.

-- Without a revision a Workflow is invalid, and `why` says what is wrong with it: its Runs wait.
-- The reference keeps a revision in place while a name points at it.
CREATE TABLE workflow_heads (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision TEXT REFERENCES workflows(id),
    why TEXT,
    labels JSONB NOT NULL DEFAULT '{}',
    unhashed JSONB NOT NULL DEFAULT '{}',
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (namespace, name),
    CONSTRAINT workflow_heads_why_check CHECK ((revision IS NULL) = (why IS NOT NULL))
);

-- Asked when a revision is to go.
CREATE INDEX idx_workflow_heads_revision ON workflow_heads(revision);
-- Which Workflows carry these labels.
CREATE INDEX idx_workflow_heads_labels ON workflow_heads USING GIN (labels);

COMMENT ON TABLE workflow_heads IS 'The current revision of each Workflow, or why it has none';
