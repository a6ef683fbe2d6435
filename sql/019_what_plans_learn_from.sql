-- What plans of plants learn from: the hash rates of poolers, and what transactions were charged.

ALTER TABLE poolers ADD COLUMN hashes_per_second bigint NOT NULL DEFAULT 0;
ALTER TABLE poolers ADD CONSTRAINT poolers_hashes_per_second_range CHECK (hashes_per_second >= 0);
COMMENT ON COLUMN poolers.hashes_per_second IS
'What it said to search with when it last attended; 0: it measured nothing';

-- The last fees of each kind are asked for before every plant; harvests were indexed by themselves so far.
CREATE INDEX idx_attempts_succeeded ON attempts (kind, result_ledger) INCLUDE (fee_charged) WHERE status = 'succeeded';
DROP INDEX idx_attempts_harvests;
