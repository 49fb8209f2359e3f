-- Migration 12: a queue in Postgres, for workers that may reach the database. Nothing in it is the truth: a job that is lost
-- here is offered again from its row in task_runs.

-- The newest epoch in which a leader spoke to each pool, `<namespace>/<pool>`. A row stays: an older leader may come back late.
CREATE TABLE queue_pools (
    pool TEXT COLLATE "C" PRIMARY KEY,
    shard SMALLINT NOT NULL CHECK (shard BETWEEN 0 AND 63),
    epoch BIGINT NOT NULL
);

CREATE INDEX idx_queue_pools_shard ON queue_pools(shard);

-- A job waits while it has no worker, and is leased to that worker until it is settled; then the row goes.
CREATE TABLE jobs (
    id TEXT COLLATE "C" PRIMARY KEY,
    pool TEXT COLLATE "C" NOT NULL,
    shard SMALLINT NOT NULL CHECK (shard BETWEEN 0 AND 63),
    rank BIGINT NOT NULL,
    body TEXT NOT NULL,
    worker TEXT COLLATE "C",
    claimed_at TIMESTAMPTZ,
    cancel BOOLEAN NOT NULL DEFAULT FALSE,
    go BOOLEAN NOT NULL DEFAULT FALSE,
    ended BOOLEAN NOT NULL DEFAULT FALSE,
    CONSTRAINT jobs_claim_check CHECK ((worker IS NULL) = (claimed_at IS NULL)),
    CONSTRAINT jobs_lease_check CHECK (worker IS NOT NULL OR NOT (cancel OR go OR ended))
);

-- What the next claim takes, of one pool and of any.
CREATE INDEX idx_jobs_pending ON jobs(pool, rank, id) WHERE worker IS NULL;
CREATE INDEX idx_jobs_pending_anywhere ON jobs(rank, id) WHERE worker IS NULL;
-- What a worker holds.
CREATE INDEX idx_jobs_worker ON jobs(worker) WHERE worker IS NOT NULL;

-- What workers told, until it is settled. Whoever adds one takes a lock first (src/queue/postgres/worker.rs), so that no smaller
-- position comes to light after a larger one.
CREATE TABLE reports (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool TEXT COLLATE "C" NOT NULL,
    shard SMALLINT NOT NULL CHECK (shard BETWEEN 0 AND 63),
    body TEXT NOT NULL
);

-- `pool` is what the worker asked for last: a pool, or `*` for all of them. `claims` rises with each claim: by it a worker is
-- retired only if it did not claim meanwhile.
CREATE TABLE queue_workers (
    id TEXT COLLATE "C" PRIMARY KEY,
    pool TEXT COLLATE "C",
    beat_at TIMESTAMPTZ,
    retired BOOLEAN NOT NULL DEFAULT FALSE,
    called BOOLEAN NOT NULL DEFAULT FALSE,
    claims BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Rows come and go with each task: vacuum comes often, however small the tables are.
ALTER TABLE jobs SET (
    fillfactor = 70,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);
ALTER TABLE reports SET (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);

COMMENT ON TABLE jobs IS 'The queue in Postgres: jobs that wait, and jobs that a worker holds until they are settled';
COMMENT ON TABLE reports IS 'The queue in Postgres: what workers told and the conductor has not settled';
COMMENT ON TABLE queue_workers IS 'The queue in Postgres: who works, and who should stop';
COMMENT ON TABLE queue_pools IS 'The queue in Postgres: the fence of each pool';
