-- Migration 10: a run that is paused, and how long its timeout stood still in earlier pauses.

-- Every row has its value at once: nothing is rewritten.
ALTER TABLE runs
    ADD COLUMN paused_at TIMESTAMPTZ,
    ADD COLUMN paused_us BIGINT NOT NULL DEFAULT 0;
