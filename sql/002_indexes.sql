-- Indexes: unique ones keep promises, the others keep queries as fast with a million rows as with a hundred.

CREATE INDEX idx_farmers_status ON farmers (status);
CREATE INDEX idx_farmers_page ON farmers (created_at, id);
CREATE INDEX idx_farmers_longest_unplanted ON farmers (last_planted_block ASC NULLS FIRST, created_at, id)
WHERE status = 'active';
CREATE INDEX idx_farmers_onboarding_batch ON farmers (onboarding_batch) WHERE status = 'onboarding';

CREATE INDEX idx_block_events_block_index ON block_events (block_index);
-- A pooler detects a block once.
CREATE UNIQUE INDEX idx_block_events_detected ON block_events (block_index, pooler_id) WHERE event_type = 'detected';

-- A farmer is planted once in a block.
CREATE UNIQUE INDEX idx_plant_transactions_block_farmer ON plant_transactions (block_index, farmer_id);
CREATE INDEX idx_plant_transactions_pending ON plant_transactions (created_at) WHERE status = 'pending';
CREATE INDEX idx_plant_request_plants_plant ON plant_request_plants (plant_id);

-- A pooler has one result for a farmer in a block.
CREATE UNIQUE INDEX idx_work_results_block_farmer ON work_results (block_index, farmer_id, pooler_id);
CREATE INDEX idx_work_results_unverified ON work_results (created_at) WHERE status = 'unverified';

CREATE INDEX idx_harvest_transactions_farmer ON harvest_transactions (farmer_id, created_at);
-- A pail is harvested once.
CREATE UNIQUE INDEX idx_harvest_transactions_block_farmer ON harvest_transactions (block_index, farmer_id);
CREATE INDEX idx_harvest_transactions_pending ON harvest_transactions (created_at) WHERE status = 'pending';
CREATE INDEX idx_harvest_transactions_stakes ON harvest_transactions (farmer_id, status) INCLUDE (stake_amount)
WHERE status IN ('pending', 'lost');

-- One open attempt and one success for an intent; one transaction in flight for a source; a sequence number used once.
CREATE UNIQUE INDEX idx_attempts_open_intent ON attempts (kind, intent_id) WHERE status = 'open';
CREATE UNIQUE INDEX idx_attempts_succeeded_intent ON attempts (kind, intent_id) WHERE status = 'succeeded';
CREATE UNIQUE INDEX idx_attempts_open_source ON attempts (source_account) WHERE status = 'open';
CREATE UNIQUE INDEX idx_attempts_live_sequence ON attempts (source_account, source_sequence)
WHERE status IN ('open', 'succeeded');
CREATE INDEX idx_attempts_intent ON attempts (intent_id);
