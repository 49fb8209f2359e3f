-- Migration 9: what a cluster needs beside: whose database this is, whether a decision is vouched for, and runs by
-- their names.

-- One row at most. Runs are known by the ids of one cluster; another one has to be adopted by command.
CREATE TABLE cluster (
    one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    id TEXT NOT NULL,
    claimed_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- Did the API server's admission policy vouch for the user? Of what was said before nobody knows.
ALTER TABLE approvals ADD COLUMN verified BOOLEAN NOT NULL DEFAULT FALSE;

-- A name may be used again and again; the newest run comes first.
CREATE INDEX idx_runs_name ON runs(namespace, name, created_at DESC, id DESC);

COMMENT ON TABLE cluster IS 'The cluster that this database belongs to';
