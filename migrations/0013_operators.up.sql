-- Migration 13: who may lead a part of the shards, where several processes lead at a time. It only divides: who leads a shard is
-- told by its row in `shards` alone. Where one process leads all of them, nothing is written here.

-- A row is renewed each second, and goes with its process. `leaders`: at most so many lead at a time, as that process was told.
CREATE TABLE operators (
    holder TEXT COLLATE "C" PRIMARY KEY,
    leaders INTEGER NOT NULL CHECK (leaders > 0),
    joined_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE operators IS 'Processes among which the shards are divided';
