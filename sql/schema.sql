-- The whole schema: the sum of the numbered files without the test data. A test holds the two equal.

-- From 001_initial_schema.sql
-- Tables, and the rules that hold whatever program writes to them.
-- Amounts are stroops of KALE unless a comment says otherwise; ledger numbers are ledger sequences.

CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION update_updated_at_column() IS 'Stamps a changed row';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: these rows are kept as they are', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END;
$$;
COMMENT ON FUNCTION refuse_change() IS 'Refuses whatever statement fires it';

CREATE FUNCTION refuse_other_columns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(OLD) - TG_ARGV IS DISTINCT FROM to_jsonb(NEW) - TG_ARGV THEN
        RAISE EXCEPTION 'only % of a row of % may change', array_to_string(TG_ARGV, ', '), TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION refuse_other_columns() IS 'Refuses an update of any column but those named as arguments';

CREATE TABLE allowed_transitions (
    table_name text NOT NULL,
    old_status text NOT NULL,
    new_status text NOT NULL,
    CONSTRAINT allowed_transitions_pkey PRIMARY KEY (table_name, old_status, new_status)
);
COMMENT ON TABLE allowed_transitions IS 'Which status may follow which; every other move is refused';
COMMENT ON COLUMN allowed_transitions.table_name IS 'The table whose column status it concerns';
COMMENT ON COLUMN allowed_transitions.old_status IS 'The status before';
COMMENT ON COLUMN allowed_transitions.new_status IS 'The status after';

INSERT INTO allowed_transitions (table_name, old_status, new_status) VALUES
('farmers', 'onboarding', 'active'),
('farmers', 'onboarding', 'departed'),
('farmers', 'active', 'inactive'),
('farmers', 'active', 'departed'),
('farmers', 'inactive', 'active'),
('farmers', 'inactive', 'departed'),
('plant_transactions', 'pending', 'confirmed'),
('plant_transactions', 'pending', 'failed'),
('work_results', 'pending', 'success'),
('work_results', 'pending', 'failed'),
('work_results', 'pending', 'timeout'),
('work_results', 'unverified', 'success'),
('work_results', 'unverified', 'failed'),
('work_results', 'failed', 'pending'),
('work_results', 'failed', 'success'),
('work_results', 'failed', 'unverified'),
('work_results', 'timeout', 'pending'),
('work_results', 'timeout', 'success'),
('work_results', 'timeout', 'unverified'),
('work_results', 'timeout', 'failed'),
('harvest_transactions', 'pending', 'confirmed'),
('harvest_transactions', 'pending', 'failed'),
('harvest_transactions', 'pending', 'lost'),
('attempts', 'open', 'succeeded'),
('attempts', 'open', 'failed'),
('attempts', 'open', 'expired');

CREATE FUNCTION check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM allowed_transitions AS t
        WHERE t.table_name = TG_TABLE_NAME AND t.old_status = OLD.status AND t.new_status = NEW.status
    ) THEN
        RAISE EXCEPTION 'in %, status % cannot follow %', TG_TABLE_NAME, NEW.status, OLD.status
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_transition';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION check_transition() IS 'Refuses a change of status that allowed_transitions does not name';

CREATE TABLE farmers (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    wallet_address text NOT NULL,
    public_key text NOT NULL,
    sealed_seed bytea,
    key_version integer,
    balance bigint NOT NULL DEFAULT 0,
    stake_percentage numeric(5, 2) NOT NULL DEFAULT 10.00,
    harvest_after_blocks integer NOT NULL DEFAULT 5,
    earned_balance bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'onboarding',
    request_id text NOT NULL,
    onboarding_batch uuid,
    last_planted_block bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT farmers_pkey PRIMARY KEY (id),
    CONSTRAINT farmers_wallet_address_key UNIQUE (wallet_address),
    CONSTRAINT farmers_request_id_key UNIQUE (request_id),
    CONSTRAINT farmers_wallet_address_form CHECK (wallet_address ~ '^G[A-Z2-7]{55}$'),
    CONSTRAINT farmers_public_key_form CHECK (public_key ~ '^[0-9a-f]{64}$'),
    CONSTRAINT farmers_seed_has_version CHECK ((sealed_seed IS NULL) = (key_version IS NULL)),
    CONSTRAINT farmers_key_version_range CHECK (key_version >= 1),
    CONSTRAINT farmers_farming_needs_seed CHECK (sealed_seed IS NOT NULL OR status IN ('inactive', 'departed')),
    CONSTRAINT farmers_status_known CHECK (status IN ('onboarding', 'active', 'inactive', 'departed')),
    CONSTRAINT farmers_balance_range CHECK (balance >= 0),
    CONSTRAINT farmers_earned_balance_range CHECK (earned_balance >= 0),
    CONSTRAINT farmers_stake_percentage_range CHECK (stake_percentage BETWEEN 0 AND 100),
    CONSTRAINT farmers_harvest_after_blocks_range CHECK (harvest_after_blocks BETWEEN 1 AND 200),
    CONSTRAINT farmers_last_planted_block_range CHECK (last_planted_block >= 0)
);
COMMENT ON TABLE farmers IS 'Farmers and their custodial wallets; a row is never deleted';
COMMENT ON COLUMN farmers.id IS 'The farmer''s id';
COMMENT ON COLUMN farmers.wallet_address IS 'Stellar address of the wallet (G...)';
COMMENT ON COLUMN farmers.public_key IS 'Ed25519 public key of the wallet, 64 hexadecimal digits';
COMMENT ON COLUMN farmers.sealed_seed IS
'The wallet''s seed, sealed by the vault for this farmer, key, key version and network; null in sample rows only';
COMMENT ON COLUMN farmers.key_version IS 'Version of the vault''s key that sealed the seed';
COMMENT ON COLUMN farmers.balance IS 'KALE on the account as last seen on the ledger';
COMMENT ON COLUMN farmers.stake_percentage IS 'Percentage of the balance staked in each block';
COMMENT ON COLUMN farmers.harvest_after_blocks IS 'Harvest once the farm is this many blocks past the planted one';
COMMENT ON COLUMN farmers.earned_balance IS 'Rewards booked so far';
COMMENT ON COLUMN farmers.status IS
'onboarding: the account is not yet on the ledger; active: farms; inactive: rests; departed: has left for good';
COMMENT ON COLUMN farmers.request_id IS 'The creating request; a repeat of it returns this row';
COMMENT ON COLUMN farmers.onboarding_batch IS 'The batch of accounts this one is or was created in';
COMMENT ON COLUMN farmers.last_planted_block IS 'Highest block index with a confirmed plant; null: never planted';
COMMENT ON COLUMN farmers.created_at IS 'When the farmer was created';
COMMENT ON COLUMN farmers.updated_at IS 'When the row last changed';

CREATE TRIGGER update_farmers_updated_at BEFORE UPDATE ON farmers
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER farmers_transition BEFORE UPDATE OF status ON farmers
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_transition();
CREATE TRIGGER farmers_identity BEFORE UPDATE ON farmers
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'balance', 'stake_percentage', 'harvest_after_blocks', 'earned_balance', 'status', 'onboarding_batch',
    'last_planted_block', 'updated_at'
);
CREATE TRIGGER farmers_kept BEFORE DELETE OR TRUNCATE ON farmers
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE block_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    block_index bigint NOT NULL,
    event_type text NOT NULL,
    farmer_id uuid,
    pooler_id text,
    data jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT block_events_pkey PRIMARY KEY (id),
    CONSTRAINT block_events_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT block_events_block_index_range CHECK (block_index >= 0),
    CONSTRAINT block_events_event_type_known CHECK (event_type IN (
        'detected', 'plant_requested', 'planted', 'plant_failed', 'work_complete', 'work_failed', 'harvested',
        'harvest_lost', 'harvest_taken'
    )),
    CONSTRAINT block_events_detected_by CHECK (event_type <> 'detected' OR pooler_id IS NOT NULL)
);
COMMENT ON TABLE block_events IS 'The audit trail: what happened in each block, in order; rows are only ever added';
COMMENT ON COLUMN block_events.id IS 'Order of recording';
COMMENT ON COLUMN block_events.block_index IS 'The block it concerns';
COMMENT ON COLUMN block_events.event_type IS
'detected, plant_requested, planted, plant_failed, work_complete, work_failed, harvested, harvest_lost, harvest_taken';
COMMENT ON COLUMN block_events.farmer_id IS 'The farmer it concerns, if it concerns one';
COMMENT ON COLUMN block_events.pooler_id IS 'The pooler it came from or concerns, if any';
COMMENT ON COLUMN block_events.data IS 'What else is known: ids, amounts, ledgers, transaction hashes, reasons';
COMMENT ON COLUMN block_events.created_at IS 'When it was recorded';

CREATE TRIGGER block_events_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON block_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE plant_requests (
    request_id text NOT NULL,
    pooler_id text NOT NULL,
    block_index bigint NOT NULL,
    requested_farmers bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plant_requests_pkey PRIMARY KEY (request_id),
    CONSTRAINT plant_requests_block_index_range CHECK (block_index >= 0),
    CONSTRAINT plant_requests_requested_farmers_range CHECK (requested_farmers >= 0)
);
COMMENT ON TABLE plant_requests IS 'What poolers asked to have planted; a request id means the same request for ever';
COMMENT ON COLUMN plant_requests.request_id IS 'Chosen by the pooler';
COMMENT ON COLUMN plant_requests.pooler_id IS 'The pooler that asked';
COMMENT ON COLUMN plant_requests.block_index IS 'The block to plant in';
COMMENT ON COLUMN plant_requests.requested_farmers IS
'How many farmers the pooler can search for; 0: every active one';
COMMENT ON COLUMN plant_requests.created_at IS 'When it was stored';

CREATE TRIGGER plant_requests_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON plant_requests
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE plant_transactions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    wallet_address text NOT NULL,
    pooler_id text NOT NULL,
    stake_amount bigint NOT NULL,
    transaction_hash text,
    status text NOT NULL DEFAULT 'pending',
    error_reason text,
    error_message text,
    ledger_sequence bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    CONSTRAINT plant_transactions_pkey PRIMARY KEY (id),
    CONSTRAINT plant_transactions_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT plant_transactions_block_index_range CHECK (block_index >= 0),
    CONSTRAINT plant_transactions_stake_amount_range CHECK (stake_amount >= 0),
    CONSTRAINT plant_transactions_hash_form CHECK (transaction_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT plant_transactions_status_known CHECK (status IN ('pending', 'confirmed', 'failed')),
    CONSTRAINT plant_transactions_confirmed_where CHECK ((status = 'confirmed') = (ledger_sequence IS NOT NULL)),
    CONSTRAINT plant_transactions_confirmed_when CHECK ((status = 'confirmed') = (confirmed_at IS NOT NULL)),
    CONSTRAINT plant_transactions_failed_why CHECK ((status = 'failed') = (error_reason IS NOT NULL))
);
COMMENT ON TABLE plant_transactions IS
'Plants: the intent to plant a farmer in a block, once, whatever attempts carry it out; final once not pending';
COMMENT ON COLUMN plant_transactions.id IS 'The plant''s id';
COMMENT ON COLUMN plant_transactions.block_index IS 'The block planted in';
COMMENT ON COLUMN plant_transactions.farmer_id IS 'The farmer';
COMMENT ON COLUMN plant_transactions.wallet_address IS 'The farmer''s address';
COMMENT ON COLUMN plant_transactions.pooler_id IS 'The pooler that asked for it';
COMMENT ON COLUMN plant_transactions.stake_amount IS 'The stake';
COMMENT ON COLUMN plant_transactions.transaction_hash IS
'Hash of the transaction that planted; null of a confirmed plant: found on the ledger, its transaction unknown';
COMMENT ON COLUMN plant_transactions.status IS
'pending; confirmed: the pail is on the ledger; failed: nothing is staked';
COMMENT ON COLUMN plant_transactions.error_reason IS 'Why it failed, for programs';
COMMENT ON COLUMN plant_transactions.error_message IS 'Why it failed, for people';
COMMENT ON COLUMN plant_transactions.ledger_sequence IS 'The ledger that applied it';
COMMENT ON COLUMN plant_transactions.created_at IS 'When the intent was stored';
COMMENT ON COLUMN plant_transactions.confirmed_at IS 'When the confirmation was stored';

CREATE TRIGGER plant_transactions_transition BEFORE UPDATE OF status ON plant_transactions
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_transition();
CREATE TRIGGER plant_transactions_final BEFORE UPDATE ON plant_transactions
FOR EACH ROW WHEN (old.status <> 'pending') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER plant_transactions_identity BEFORE UPDATE ON plant_transactions
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'transaction_hash', 'status', 'error_reason', 'error_message', 'ledger_sequence', 'confirmed_at'
);
CREATE TRIGGER plant_transactions_kept BEFORE DELETE OR TRUNCATE ON plant_transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE plant_request_plants (
    request_id text NOT NULL,
    plant_id uuid NOT NULL,
    number integer,
    CONSTRAINT plant_request_plants_pkey PRIMARY KEY (request_id, plant_id),
    CONSTRAINT plant_request_plants_request_id_fkey FOREIGN KEY (request_id) REFERENCES plant_requests (request_id),
    CONSTRAINT plant_request_plants_plant_id_fkey FOREIGN KEY (plant_id) REFERENCES plant_transactions (id),
    CONSTRAINT plant_request_plants_number_key UNIQUE (request_id, number),
    CONSTRAINT plant_request_plants_number_range CHECK (number >= 1)
);
COMMENT ON TABLE plant_request_plants IS 'The plants that answer a request, fixed when the request is stored';
COMMENT ON COLUMN plant_request_plants.request_id IS 'The request';
COMMENT ON COLUMN plant_request_plants.plant_id IS 'The plant';
COMMENT ON COLUMN plant_request_plants.number IS
'Position among the request''s final plants, from 1 without gaps; null while the plant is pending';

CREATE TRIGGER plant_request_plants_final BEFORE UPDATE ON plant_request_plants
FOR EACH ROW WHEN (old.number IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER plant_request_plants_identity BEFORE UPDATE ON plant_request_plants
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('number');
CREATE TRIGGER plant_request_plants_kept BEFORE DELETE OR TRUNCATE ON plant_request_plants
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE work_results (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    report_id text,
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    wallet_address text NOT NULL,
    pooler_id text NOT NULL,
    work_hash text,
    nonce numeric(20, 0),
    zeros smallint,
    gap bigint,
    transaction_hash text,
    ledger_sequence bigint,
    status text NOT NULL DEFAULT 'pending',
    error_reason text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CONSTRAINT work_results_pkey PRIMARY KEY (id),
    CONSTRAINT work_results_report_id_key UNIQUE (report_id),
    CONSTRAINT work_results_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT work_results_block_index_range CHECK (block_index >= 0),
    CONSTRAINT work_results_work_hash_form CHECK (work_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT work_results_hash_form CHECK (transaction_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT work_results_nonce_range CHECK (nonce BETWEEN 0 AND 18446744073709551615),
    CONSTRAINT work_results_zeros_range CHECK (zeros BETWEEN 0 AND 64),
    CONSTRAINT work_results_gap_range CHECK (gap >= 0),
    CONSTRAINT work_results_status_known CHECK (
        status IN ('pending', 'success', 'unverified', 'failed', 'timeout')
    ),
    CONSTRAINT work_results_hash_given CHECK (
        work_hash IS NOT NULL OR status NOT IN ('pending', 'success', 'unverified')
    ),
    CONSTRAINT work_results_failed_why CHECK ((status IN ('failed', 'timeout')) = (error_reason IS NOT NULL)),
    CONSTRAINT work_results_completed_when CHECK (
        (status IN ('pending', 'unverified')) = (completed_at IS NULL)
    )
);
COMMENT ON TABLE work_results IS
'What came of the work for a farmer in a block: one row for each pooler that reported it; the best success stays';
COMMENT ON COLUMN work_results.id IS 'The result''s id';
COMMENT ON COLUMN work_results.report_id IS 'The report it came by; null for the backend''s own work';
COMMENT ON COLUMN work_results.block_index IS 'The block worked in';
COMMENT ON COLUMN work_results.farmer_id IS 'The farmer';
COMMENT ON COLUMN work_results.wallet_address IS 'The farmer''s address';
COMMENT ON COLUMN work_results.pooler_id IS 'The pooler that reported it; ''backend'' for the backend''s own work';
COMMENT ON COLUMN work_results.work_hash IS 'The hash submitted, 64 hexadecimal digits';
COMMENT ON COLUMN work_results.nonce IS 'The nonce behind the hash, an unsigned 64-bit number';
COMMENT ON COLUMN work_results.zeros IS 'Leading zero nibbles of the hash';
COMMENT ON COLUMN work_results.gap IS 'Ledgers from plant to work, as the contract returned it';
COMMENT ON COLUMN work_results.transaction_hash IS 'Hash of the transaction that submitted the work';
COMMENT ON COLUMN work_results.ledger_sequence IS 'The ledger that applied it';
COMMENT ON COLUMN work_results.status IS
'pending: being submitted; success: its hash was checked; unverified: waits for the pail to show it; failed; timeout';
COMMENT ON COLUMN work_results.error_reason IS 'Why it failed, for programs';
COMMENT ON COLUMN work_results.error_message IS 'Why it failed, for people';
COMMENT ON COLUMN work_results.created_at IS 'When the first result of this row was stored';
COMMENT ON COLUMN work_results.completed_at IS 'When the present status was reached; null while pending or unverified';

CREATE FUNCTION keep_better_work() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'success' OR coalesce(NEW.zeros, 0) < coalesce(OLD.zeros, 0) THEN
        RAISE EXCEPTION 'successful work % of % zeros is replaced by better work only', OLD.id, OLD.zeros
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION keep_better_work() IS 'Refuses to replace a successful work result by anything worse';

CREATE TRIGGER work_results_transition BEFORE UPDATE OF status ON work_results
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_transition();
CREATE TRIGGER work_results_better BEFORE UPDATE ON work_results
FOR EACH ROW WHEN (old.status = 'success') EXECUTE FUNCTION keep_better_work();
CREATE TRIGGER work_results_identity BEFORE UPDATE ON work_results
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'report_id', 'work_hash', 'nonce', 'zeros', 'gap', 'transaction_hash', 'ledger_sequence', 'status', 'error_reason',
    'error_message', 'completed_at'
);
CREATE TRIGGER work_results_kept BEFORE DELETE OR TRUNCATE ON work_results
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE harvest_transactions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    wallet_address text NOT NULL,
    stake_amount bigint NOT NULL,
    reward_amount bigint,
    planted_ledger bigint NOT NULL,
    live_until bigint,
    transaction_hash text,
    ledger_sequence bigint,
    status text NOT NULL DEFAULT 'pending',
    error_reason text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    CONSTRAINT harvest_transactions_pkey PRIMARY KEY (id),
    CONSTRAINT harvest_transactions_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT harvest_transactions_block_index_range CHECK (block_index >= 0),
    CONSTRAINT harvest_transactions_stake_amount_range CHECK (stake_amount >= 0),
    CONSTRAINT harvest_transactions_reward_amount_range CHECK (reward_amount >= 0),
    CONSTRAINT harvest_transactions_hash_form CHECK (transaction_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT harvest_transactions_status_known CHECK (status IN ('pending', 'confirmed', 'failed', 'lost')),
    CONSTRAINT harvest_transactions_confirmed_what CHECK ((status = 'confirmed') = (reward_amount IS NOT NULL)),
    CONSTRAINT harvest_transactions_confirmed_by CHECK ((status = 'confirmed') = (transaction_hash IS NOT NULL)),
    CONSTRAINT harvest_transactions_confirmed_where CHECK ((status = 'confirmed') = (ledger_sequence IS NOT NULL)),
    CONSTRAINT harvest_transactions_confirmed_when CHECK ((status = 'confirmed') = (confirmed_at IS NOT NULL)),
    CONSTRAINT harvest_transactions_failed_why CHECK ((status IN ('failed', 'lost')) = (error_reason IS NOT NULL))
);
COMMENT ON TABLE harvest_transactions IS
'Harvests: the intent to harvest a pail, stored when its plant is confirmed; final once not pending';
COMMENT ON COLUMN harvest_transactions.id IS 'The harvest''s id';
COMMENT ON COLUMN harvest_transactions.block_index IS 'The block that was planted';
COMMENT ON COLUMN harvest_transactions.farmer_id IS 'The farmer';
COMMENT ON COLUMN harvest_transactions.wallet_address IS 'The farmer''s address';
COMMENT ON COLUMN harvest_transactions.stake_amount IS 'The stake in the pail';
COMMENT ON COLUMN harvest_transactions.reward_amount IS 'The reward, as the contract returned it; without the stake';
COMMENT ON COLUMN harvest_transactions.planted_ledger IS 'The ledger that planted the pail';
COMMENT ON COLUMN harvest_transactions.live_until IS 'The last ledger in which the pail lives; null until it was read';
COMMENT ON COLUMN harvest_transactions.transaction_hash IS 'Hash of the transaction that harvested';
COMMENT ON COLUMN harvest_transactions.ledger_sequence IS 'The ledger that applied it';
COMMENT ON COLUMN harvest_transactions.status IS
'pending; confirmed: reward and stake are on the account; failed: someone else harvested it for the farmer; lost';
COMMENT ON COLUMN harvest_transactions.error_reason IS 'Why it failed or was lost, for programs';
COMMENT ON COLUMN harvest_transactions.error_message IS 'Why it failed or was lost, for people';
COMMENT ON COLUMN harvest_transactions.created_at IS 'When the intent was stored';
COMMENT ON COLUMN harvest_transactions.confirmed_at IS 'When the confirmation was stored';

CREATE TRIGGER harvest_transactions_transition BEFORE UPDATE OF status ON harvest_transactions
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_transition();
CREATE TRIGGER harvest_transactions_final BEFORE UPDATE ON harvest_transactions
FOR EACH ROW WHEN (old.status <> 'pending') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER harvest_transactions_identity BEFORE UPDATE ON harvest_transactions
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'reward_amount', 'live_until', 'transaction_hash', 'ledger_sequence', 'status', 'error_reason', 'error_message',
    'confirmed_at'
);
CREATE TRIGGER harvest_transactions_kept BEFORE DELETE OR TRUNCATE ON harvest_transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE attempts (
    hash bytea NOT NULL,
    inner_hash bytea,
    kind text NOT NULL,
    intent_id uuid NOT NULL,
    source_account text NOT NULL,
    source_sequence bigint NOT NULL,
    envelope text NOT NULL,
    max_ledger bigint NOT NULL,
    created_ledger bigint NOT NULL,
    status text NOT NULL DEFAULT 'open',
    result_code text,
    result_ledger bigint,
    fee_charged bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT attempts_pkey PRIMARY KEY (hash),
    CONSTRAINT attempts_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT attempts_inner_hash_length CHECK (octet_length(inner_hash) = 32),
    CONSTRAINT attempts_kind_known CHECK (kind IN ('plant', 'work', 'harvest', 'onboarding', 'channels')),
    CONSTRAINT attempts_source_account_form CHECK (source_account ~ '^G[A-Z2-7]{55}$'),
    CONSTRAINT attempts_source_sequence_range CHECK (source_sequence > 0),
    CONSTRAINT attempts_envelope_given CHECK (envelope <> ''),
    CONSTRAINT attempts_status_known CHECK (status IN ('open', 'succeeded', 'failed', 'expired')),
    CONSTRAINT attempts_ended_when CHECK ((status = 'open') = (ended_at IS NULL)),
    CONSTRAINT attempts_ended_where CHECK ((status = 'open') = (result_ledger IS NULL)),
    CONSTRAINT attempts_expiry_proven CHECK (status <> 'expired' OR result_ledger >= max_ledger),
    CONSTRAINT attempts_fee_charged_range CHECK (fee_charged >= 0)
);
COMMENT ON TABLE attempts IS
'Signed transactions, stored before they are first sent and kept for ever; an end is proven by a ledger and final';
COMMENT ON COLUMN attempts.hash IS 'Hash of the transaction as the ledger knows it (the fee bump''s, if there is one)';
COMMENT ON COLUMN attempts.inner_hash IS 'Hash of the inner transaction of a fee bump';
COMMENT ON COLUMN attempts.kind IS 'What it does: plant, work, harvest, onboarding or channels';
COMMENT ON COLUMN attempts.intent_id IS
'What it carries out: the id of a plant, work result or harvest; for onboarding and channels that of the batch';
COMMENT ON COLUMN attempts.source_account IS 'The address whose sequence number it uses';
COMMENT ON COLUMN attempts.source_sequence IS 'That sequence number';
COMMENT ON COLUMN attempts.envelope IS 'The signed envelope, base64; the same bytes are sent until the end is proven';
COMMENT ON COLUMN attempts.max_ledger IS 'The first ledger that can no longer take it';
COMMENT ON COLUMN attempts.created_ledger IS 'The last ledger closed when it was stored';
COMMENT ON COLUMN attempts.status IS 'open; succeeded or failed: a ledger applied it; expired: none did and none can';
COMMENT ON COLUMN attempts.result_code IS 'The result code of the (inner) transaction';
COMMENT ON COLUMN attempts.result_ledger IS 'The ledger that applied it, or the closed one that proves it expired';
COMMENT ON COLUMN attempts.fee_charged IS 'Stroops of XLM taken from the fee account';
COMMENT ON COLUMN attempts.created_at IS 'When it was stored';
COMMENT ON COLUMN attempts.ended_at IS 'When its end was stored';

CREATE TRIGGER attempts_begin_open BEFORE INSERT ON attempts
FOR EACH ROW WHEN (new.status <> 'open') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempts_transition BEFORE UPDATE OF status ON attempts
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_transition();
CREATE TRIGGER attempts_final BEFORE UPDATE ON attempts
FOR EACH ROW WHEN (old.status <> 'open') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempts_identity BEFORE UPDATE ON attempts
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'status', 'result_code', 'result_ledger', 'fee_charged', 'ended_at'
);
CREATE TRIGGER attempts_kept BEFORE DELETE OR TRUNCATE ON attempts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- From 002_indexes.sql
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

-- From 004_lease.sql
-- Of two backends over one database the database itself refuses one, and a database restored to an older point is
-- recognised before anything is signed.

CREATE TABLE lease (
    one_row smallint NOT NULL DEFAULT 1,
    fence bigint NOT NULL,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    taken_at timestamptz,
    system_identifier numeric(20, 0),
    timeline bigint,
    CONSTRAINT lease_pkey PRIMARY KEY (one_row),
    CONSTRAINT lease_one_row CHECK (one_row = 1),
    CONSTRAINT lease_fence_range CHECK (fence >= 0),
    CONSTRAINT lease_epoch_range CHECK (epoch >= 0),
    CONSTRAINT lease_holder_given CHECK (holder <> ''),
    CONSTRAINT lease_taken_where CHECK ((fence = 0) = (system_identifier IS NULL)),
    CONSTRAINT lease_taken_on CHECK ((fence = 0) = (timeline IS NULL)),
    CONSTRAINT lease_taken_when CHECK ((fence = 0) = (taken_at IS NULL))
);
COMMENT ON TABLE lease IS 'One row: which backend may store attempts; a starting backend takes the next fence';
COMMENT ON COLUMN lease.one_row IS 'Always 1: there is one row';
COMMENT ON COLUMN lease.fence IS 'The number that attempts must carry to be stored; 0: no backend has started yet';
COMMENT ON COLUMN lease.epoch IS 'How many incarnations of the database have been seen; grows when it was restored';
COMMENT ON COLUMN lease.holder IS 'The backend that took the fence: host and process';
COMMENT ON COLUMN lease.taken_at IS 'When it took the fence; null: none has';
COMMENT ON COLUMN lease.system_identifier IS 'Identity of the server''s data folder, from its control file';
COMMENT ON COLUMN lease.timeline IS 'Timeline of its log; a server that was promoted or recovered has another';

INSERT INTO lease (fence, epoch, holder) VALUES (0, 0, 'nobody');

CREATE FUNCTION check_lease() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.fence <= OLD.fence THEN
        RAISE EXCEPTION 'the lease moves forward only: fence % does not follow %', NEW.fence, OLD.fence
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'lease_forward', TABLE = 'lease';
    END IF;
    IF NEW.epoch < OLD.epoch OR (
        NEW.epoch = OLD.epoch AND OLD.fence > 0
        AND (NEW.system_identifier, NEW.timeline) IS DISTINCT FROM (OLD.system_identifier, OLD.timeline)
    ) THEN
        RAISE EXCEPTION 'epoch % does not follow % of another incarnation', NEW.epoch, OLD.epoch
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'lease_epoch_forward', TABLE = 'lease';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION check_lease() IS 'Refuses a fence that is not greater, and another incarnation in the same epoch';

CREATE TRIGGER lease_forward BEFORE UPDATE ON lease
FOR EACH ROW EXECUTE FUNCTION check_lease();
CREATE TRIGGER lease_kept BEFORE DELETE OR TRUNCATE ON lease
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE quarantines (
    id bigint GENERATED ALWAYS AS IDENTITY,
    epoch bigint NOT NULL,
    reason text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    began_ledger bigint,
    until_ledger bigint,
    ended_at timestamptz,
    ended_ledger bigint,
    CONSTRAINT quarantines_pkey PRIMARY KEY (id),
    CONSTRAINT quarantines_reason_given CHECK (reason <> ''),
    CONSTRAINT quarantines_began_where CHECK ((began_ledger IS NULL) = (until_ledger IS NULL)),
    CONSTRAINT quarantines_until_ledger_range CHECK (until_ledger > began_ledger),
    CONSTRAINT quarantines_ended_when CHECK ((ended_at IS NULL) = (ended_ledger IS NULL)),
    CONSTRAINT quarantines_end_proven CHECK (
        ended_ledger IS NULL OR (until_ledger IS NOT NULL AND ended_ledger >= until_ledger)
    )
);
COMMENT ON TABLE quarantines IS
'Times in which no attempt may be stored: the database was restored, and what was sent before is not all known';
COMMENT ON COLUMN quarantines.id IS 'Order of beginning';
COMMENT ON COLUMN quarantines.epoch IS 'The lease''s epoch in which it began';
COMMENT ON COLUMN quarantines.reason IS 'Why it began, for people';
COMMENT ON COLUMN quarantines.began_at IS 'When it began';
COMMENT ON COLUMN quarantines.began_ledger IS 'The last ledger closed at its beginning; null: not read yet';
COMMENT ON COLUMN quarantines.until_ledger IS 'It ends once every ledger up to this one was read';
COMMENT ON COLUMN quarantines.ended_at IS 'When it ended; null while it lasts';
COMMENT ON COLUMN quarantines.ended_ledger IS 'The last ledger that was read when it ended';

CREATE INDEX idx_quarantines_open ON quarantines (id) WHERE ended_at IS NULL;

CREATE TRIGGER quarantines_begin_open BEFORE INSERT ON quarantines
FOR EACH ROW WHEN (new.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER quarantines_final BEFORE UPDATE ON quarantines
FOR EACH ROW WHEN (old.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER quarantines_later_only BEFORE UPDATE ON quarantines
FOR EACH ROW WHEN (coalesce(new.until_ledger, 0) < old.until_ledger) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER quarantines_identity BEFORE UPDATE ON quarantines
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('began_ledger', 'until_ledger', 'ended_at', 'ended_ledger');
CREATE TRIGGER quarantines_kept BEFORE DELETE OR TRUNCATE ON quarantines
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Attempts stored before there were fences carry 0.
ALTER TABLE attempts ADD COLUMN fence bigint NOT NULL DEFAULT 0;
ALTER TABLE attempts ALTER COLUMN fence DROP DEFAULT;
COMMENT ON COLUMN attempts.fence IS 'Fence of the backend that stored it; 0: from before there were fences';

CREATE FUNCTION check_fence() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    held lease%ROWTYPE;
BEGIN
    -- The lock makes a backend that takes the lease wait for this transaction, and this one for it.
    SELECT * INTO STRICT held FROM lease FOR SHARE;
    IF EXISTS (SELECT FROM added WHERE fence <> held.fence OR fence = 0) THEN
        RAISE EXCEPTION 'the lease is held by % with fence % since %', held.holder, held.fence, held.taken_at
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempts_fence', TABLE = 'attempts';
    END IF;
    IF EXISTS (SELECT FROM quarantines WHERE ended_at IS NULL) THEN
        RAISE EXCEPTION 'nothing is signed in quarantine'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempts_quarantine', TABLE = 'attempts';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION check_fence() IS
'Refuses attempts without the lease''s fence, and any attempt in quarantine';

CREATE TRIGGER attempts_fenced AFTER INSERT ON attempts
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_fence();

-- Rules look up tables by name: no table of the same name elsewhere may stand in for them.
CREATE OR REPLACE FUNCTION check_transition() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM allowed_transitions AS t
        WHERE t.table_name = TG_TABLE_NAME AND t.old_status = OLD.status AND t.new_status = NEW.status
    ) THEN
        RAISE EXCEPTION 'in %, status % cannot follow %', TG_TABLE_NAME, NEW.status, OLD.status
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_transition';
    END IF;
    RETURN NEW;
END;
$$;

-- From 005_quarantine.sql
-- What a quarantine needs to end: where reading the ledger again begins. Its begin and end are in the audit trail.

ALTER TABLE quarantines ADD COLUMN known_ledger bigint;
COMMENT ON COLUMN quarantines.known_ledger IS
'The last ledger the attempts knew of when it began: later ones are read again; null: there were no attempts';
ALTER TABLE quarantines ADD CONSTRAINT quarantines_known_ledger_range CHECK (known_ledger >= 0);

CREATE OR REPLACE FUNCTION check_fence() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    held lease%ROWTYPE;
    closed quarantines%ROWTYPE;
BEGIN
    -- The lock makes a backend that takes the lease wait for this transaction, and this one for it.
    SELECT * INTO STRICT held FROM lease FOR SHARE;
    IF EXISTS (SELECT FROM added WHERE fence <> held.fence OR fence = 0) THEN
        RAISE EXCEPTION 'the lease is held by % with fence % since %', held.holder, held.fence, held.taken_at
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempts_fence', TABLE = 'attempts';
    END IF;
    SELECT * INTO closed FROM quarantines WHERE ended_at IS NULL ORDER BY until_ledger DESC NULLS FIRST LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'nothing is signed until ledger % has closed: %',
            coalesce(CAST(closed.until_ledger AS text), 'still to be determined'), closed.reason
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempts_quarantine', TABLE = 'attempts';
    END IF;
    RETURN NULL;
END;
$$;

ALTER TABLE block_events DROP CONSTRAINT block_events_event_type_known;
ALTER TABLE block_events ADD CONSTRAINT block_events_event_type_known CHECK (event_type IN (
    'detected', 'plant_requested', 'planted', 'plant_failed', 'work_complete', 'work_failed', 'harvested',
    'harvest_lost', 'harvest_taken', 'quarantine_began', 'quarantine_ended'
));
COMMENT ON COLUMN block_events.event_type IS
'What happened: block detected; plants, works and harvests requested and ended; quarantines';

-- From 006_audit_chain.sql
-- The audit trail as a chain: every event gets a number without gaps and the hash of all that came before it, so that a
-- row edited, removed, inserted or moved later is found out by whoever kept a later hash.

CREATE TABLE block_event_queue (
    event_id bigint NOT NULL,
    CONSTRAINT block_event_queue_pkey PRIMARY KEY (event_id),
    CONSTRAINT block_event_queue_event_id_fkey FOREIGN KEY (event_id) REFERENCES block_events (id)
);
COMMENT ON TABLE block_event_queue IS 'Events that are not in the chain yet; filled and emptied by the database alone';
COMMENT ON COLUMN block_event_queue.event_id IS 'The event';

CREATE TABLE block_event_links (
    number bigint NOT NULL,
    event_id bigint NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT block_event_links_pkey PRIMARY KEY (number),
    CONSTRAINT block_event_links_event_id_key UNIQUE (event_id),
    CONSTRAINT block_event_links_event_id_fkey FOREIGN KEY (event_id) REFERENCES block_events (id),
    CONSTRAINT block_event_links_number_range CHECK (number >= 1),
    CONSTRAINT block_event_links_previous_hash_length CHECK (octet_length(previous_hash) = 32),
    CONSTRAINT block_event_links_hash_length CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE block_event_links IS 'The chain over block_events: one link for each event, in the order of sealing';
COMMENT ON COLUMN block_event_links.number IS 'Position in the chain, from 1 without gaps';
COMMENT ON COLUMN block_event_links.event_id IS 'The event';
COMMENT ON COLUMN block_event_links.previous_hash IS 'Hash of the link before; 32 zero bytes for the first';
COMMENT ON COLUMN block_event_links.hash IS
'SHA-256 of previous_hash, number (8 bytes, big-endian) and the event as a JSON array in UTF-8';

CREATE FUNCTION queue_block_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO block_event_queue (event_id) SELECT a.id FROM added AS a;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION queue_block_events() IS 'Notes new events for the chain';

CREATE TRIGGER block_events_queued AFTER INSERT ON block_events
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION queue_block_events();

INSERT INTO block_event_queue (event_id) SELECT e.id FROM block_events AS e;

CREATE FUNCTION seal_block_events(most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    head block_event_links%ROWTYPE;
    event record;
    link_hash bytea;
BEGIN
    -- One sequencer at a time; the lock also keeps the head from moving under it.
    LOCK TABLE block_event_links IN EXCLUSIVE MODE;
    SELECT * INTO head FROM block_event_links AS l ORDER BY l.number DESC LIMIT 1;
    head.number := coalesce(head.number, 0);
    head.hash := coalesce(head.hash, decode(repeat('00', 32), 'hex'));
    FOR event IN
        WITH taken AS (
            DELETE FROM block_event_queue AS q
            WHERE q.event_id IN (SELECT n.event_id FROM block_event_queue AS n ORDER BY n.event_id LIMIT most)
            RETURNING q.event_id
        )
        SELECT
            e.id,
            CAST(jsonb_build_array(
                e.id, e.block_index, e.event_type, e.farmer_id, e.pooler_id, e.data,
                CAST(extract(EPOCH FROM e.created_at) * 1000000 AS bigint)
            ) AS text) AS content
        FROM block_events AS e INNER JOIN taken AS t ON t.event_id = e.id
        ORDER BY e.id
    LOOP
        link_hash := sha256(head.hash || int8send(head.number + 1) || convert_to(event.content, 'UTF8'));
        INSERT INTO block_event_links (number, event_id, previous_hash, hash)
        VALUES (head.number + 1, event.id, head.hash, link_hash);
        head.number := head.number + 1;
        head.hash := link_hash;
    END LOOP;
    RETURN head.number;
END;
$$;
COMMENT ON FUNCTION seal_block_events(integer) IS
'Adds links for at most so many committed events that have none, in the order of their ids; returns the last number';

CREATE TRIGGER block_event_links_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON block_event_links
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER block_event_queue_kept BEFORE UPDATE OR TRUNCATE ON block_event_queue
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- From 007_proofs_and_bumps.sql
-- A third proof that ends an attempt; the fee bumps of an attempt; what attempts may cost.

ALTER TABLE attempts ADD COLUMN max_fee bigint NOT NULL DEFAULT 0;
ALTER TABLE attempts ALTER COLUMN max_fee DROP DEFAULT;
ALTER TABLE attempts ADD COLUMN result_hash bytea;
COMMENT ON COLUMN attempts.max_fee IS
'Most stroops of XLM the first envelope can cost; 0: from before this was recorded';
COMMENT ON COLUMN attempts.result_hash IS
'Hash of the transaction applied with its sequence number: its own, a bump''s, or another''s; null: none, or unknown';
COMMENT ON COLUMN attempts.status IS
'open; succeeded or failed: applied; expired: none applied it and none can; superseded: another took its number';
COMMENT ON COLUMN attempts.result_ledger IS
'The ledger that applied it, or the closed one that proves it expired or superseded';

ALTER TABLE attempts ADD CONSTRAINT attempts_max_fee_range CHECK (max_fee >= 0);
ALTER TABLE attempts ADD CONSTRAINT attempts_result_hash_length CHECK (octet_length(result_hash) = 32);
ALTER TABLE attempts ADD CONSTRAINT attempts_result_hash_ended CHECK (
    result_hash IS NULL OR status IN ('succeeded', 'failed', 'superseded')
);
ALTER TABLE attempts ADD CONSTRAINT attempts_supersession_proven CHECK (
    status <> 'superseded' OR (
        result_ledger > created_ledger AND result_hash IS DISTINCT FROM hash AND result_hash IS DISTINCT FROM inner_hash
    )
);
ALTER TABLE attempts DROP CONSTRAINT attempts_status_known;
ALTER TABLE attempts ADD CONSTRAINT attempts_status_known CHECK (
    status IN ('open', 'succeeded', 'failed', 'expired', 'superseded')
);
INSERT INTO allowed_transitions (table_name, old_status, new_status) VALUES ('attempts', 'open', 'superseded');

DROP TRIGGER attempts_identity ON attempts;
CREATE TRIGGER attempts_identity BEFORE UPDATE ON attempts
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'status', 'result_code', 'result_ledger', 'result_hash', 'fee_charged', 'ended_at'
);

-- What an hour cost is asked for before every plant.
CREATE INDEX idx_attempts_created_ledger ON attempts (created_ledger) INCLUDE (status, max_fee, fee_charged);
CREATE INDEX idx_attempts_harvests ON attempts (result_ledger) INCLUDE (fee_charged)
WHERE kind = 'harvest' AND status = 'succeeded';

CREATE TABLE attempt_bumps (
    hash bytea NOT NULL,
    attempt_hash bytea NOT NULL,
    number integer NOT NULL,
    envelope text NOT NULL,
    max_fee bigint NOT NULL,
    created_ledger bigint NOT NULL,
    fence bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attempt_bumps_pkey PRIMARY KEY (hash),
    CONSTRAINT attempt_bumps_attempt_fkey FOREIGN KEY (attempt_hash) REFERENCES attempts (hash),
    CONSTRAINT attempt_bumps_once UNIQUE (attempt_hash, number),
    CONSTRAINT attempt_bumps_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT attempt_bumps_number_range CHECK (number > 0),
    CONSTRAINT attempt_bumps_envelope_given CHECK (envelope <> ''),
    CONSTRAINT attempt_bumps_max_fee_range CHECK (max_fee > 0)
);
COMMENT ON TABLE attempt_bumps IS
'Fee bumps of open attempts around the same inner transaction, stored before they are first sent and kept for ever';
COMMENT ON COLUMN attempt_bumps.hash IS 'Hash of the fee bump: the ledger may show the attempt by it';
COMMENT ON COLUMN attempt_bumps.attempt_hash IS 'The attempt that is bumped';
COMMENT ON COLUMN attempt_bumps.number IS '1 for the attempt''s first bump, and so on without gaps';
COMMENT ON COLUMN attempt_bumps.envelope IS 'The signed envelope, base64';
COMMENT ON COLUMN attempt_bumps.max_fee IS 'Most stroops of XLM it can cost; more than the one before it';
COMMENT ON COLUMN attempt_bumps.created_ledger IS 'The last ledger closed when it was stored';
COMMENT ON COLUMN attempt_bumps.fence IS 'Fence of the backend that stored it';
COMMENT ON COLUMN attempt_bumps.created_at IS 'When it was stored';

CREATE FUNCTION check_bump() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    bumped attempts%ROWTYPE;
    last attempt_bumps%ROWTYPE;
BEGIN
    -- The lock makes an end of the attempt wait for this transaction, and this one for it.
    SELECT * INTO bumped FROM attempts WHERE hash = NEW.attempt_hash FOR SHARE;
    IF bumped.status <> 'open' OR bumped.inner_hash IS NULL OR EXISTS (
        SELECT FROM attempts WHERE hash = NEW.hash
    ) THEN
        RAISE EXCEPTION 'only an open attempt with an inner transaction is bumped'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempt_bumps_open', TABLE = 'attempt_bumps';
    END IF;
    SELECT * INTO last FROM attempt_bumps WHERE attempt_hash = NEW.attempt_hash ORDER BY number DESC LIMIT 1;
    IF NEW.number <> coalesce(last.number, 0) + 1 OR NEW.max_fee <= coalesce(last.max_fee, bumped.max_fee) THEN
        RAISE EXCEPTION 'bump % at % stroops does not follow bump % at % stroops',
            NEW.number, NEW.max_fee, coalesce(last.number, 0), coalesce(last.max_fee, bumped.max_fee)
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempt_bumps_rising', TABLE = 'attempt_bumps';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION check_bump() IS 'Refuses bumps of ended attempts, out of order, or without a higher fee';

CREATE TRIGGER attempt_bumps_follow BEFORE INSERT ON attempt_bumps
FOR EACH ROW EXECUTE FUNCTION check_bump();
CREATE TRIGGER attempt_bumps_fenced AFTER INSERT ON attempt_bumps
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_fence();
CREATE TRIGGER attempt_bumps_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON attempt_bumps
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- From 008_lives.sql
-- Lives of pails: the alarms they raise as they are used up, transactions that extend them, and harvests that were
-- closed although their pails live.

ALTER TABLE harvest_transactions ADD COLUMN alarm_percent smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN harvest_transactions.alarm_percent IS
'The alarm that the pail raises: the part of its life used, in percent; 0: none, or the life was extended since';
ALTER TABLE harvest_transactions ADD CONSTRAINT harvest_transactions_alarm_percent_known CHECK (
    alarm_percent IN (0, 25, 50, 75)
);
COMMENT ON COLUMN harvest_transactions.status IS
'pending; confirmed: reward and stake are on the account; failed: emptied by someone unknown; lost; a failed or lost one
is pending again where its pail is found alive on the ledger';

INSERT INTO allowed_transitions (table_name, old_status, new_status) VALUES
('harvest_transactions', 'failed', 'pending'),
('harvest_transactions', 'lost', 'pending');

DROP TRIGGER harvest_transactions_final ON harvest_transactions;
CREATE TRIGGER harvest_transactions_final BEFORE UPDATE ON harvest_transactions
FOR EACH ROW WHEN (
    old.status = 'confirmed' OR (old.status IN ('failed', 'lost') AND new.status IS DISTINCT FROM 'pending')
) EXECUTE FUNCTION refuse_change();
DROP TRIGGER harvest_transactions_identity ON harvest_transactions;
CREATE TRIGGER harvest_transactions_identity BEFORE UPDATE ON harvest_transactions
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'reward_amount', 'live_until', 'transaction_hash', 'ledger_sequence', 'status', 'error_reason', 'error_message',
    'confirmed_at', 'alarm_percent'
);

ALTER TABLE attempts DROP CONSTRAINT attempts_kind_known;
ALTER TABLE attempts ADD CONSTRAINT attempts_kind_known CHECK (
    kind IN ('plant', 'work', 'harvest', 'onboarding', 'channels', 'extension')
);
COMMENT ON COLUMN attempts.kind IS 'What it does: plant, work, harvest, onboarding, channels or extension';
COMMENT ON COLUMN attempts.intent_id IS
'What it carries out: the id of a plant, work result or harvest; for onboarding, channels and extension of the batch';

ALTER TABLE block_events DROP CONSTRAINT block_events_event_type_known;
ALTER TABLE block_events ADD CONSTRAINT block_events_event_type_known CHECK (event_type IN (
    'detected', 'plant_requested', 'planted', 'plant_failed', 'work_complete', 'work_failed', 'harvested',
    'harvest_lost', 'harvest_taken', 'harvest_reopened', 'life_alarm', 'life_extended', 'quarantine_began',
    'quarantine_ended'
));
COMMENT ON COLUMN block_events.event_type IS
'What happened: block detected; plants, works and harvests requested and ended; lives of pails; quarantines';

-- From 009_attribution.sql
-- Every plant, work and harvest that failed or was lost has a cause and somebody who can do something about it, stored
-- in the same transaction.

CREATE TABLE failure_causes (
    cause text NOT NULL,
    owner text NOT NULL,
    CONSTRAINT failure_causes_pkey PRIMARY KEY (cause),
    CONSTRAINT failure_causes_cause_owner_key UNIQUE (cause, owner),
    CONSTRAINT failure_causes_owner_known CHECK (
        owner IN ('farmer_funds', 'pooler', 'backend', 'rpc', 'network', 'contract')
    )
);
COMMENT ON TABLE failure_causes IS 'The causes that there are, and whose each is';
COMMENT ON COLUMN failure_causes.cause IS 'The cause, for programs';
COMMENT ON COLUMN failure_causes.owner IS
'Who can do something about it: the farmer''s funds, the pooler, the backend, the RPC, the network or the contract';

INSERT INTO failure_causes (cause, owner) VALUES
('balance_too_low', 'farmer_funds'),
('account_unfit', 'farmer_funds'),
('planted_by_others', 'farmer_funds'),
('block_turned_over', 'network'),
('farm_paused', 'contract'),
('contract_refused', 'contract'),
('pail_emptied', 'contract'),
('fees_short', 'backend'),
('key_unavailable', 'backend'),
('program_fault', 'backend'),
('never_sent', 'backend'),
('not_included', 'network'),
('network_refused', 'network'),
('rpc_unreachable', 'rpc'),
('pooler_fault', 'pooler'),
('pooler_too_late', 'pooler'),
('wrong_report', 'pooler'),
('backstop_missed', 'backend'),
('backstop_not_included', 'network'),
('harvest_missed', 'backend'),
('harvest_not_included', 'network');

CREATE TABLE attributions (
    id bigint GENERATED ALWAYS AS IDENTITY,
    subject text NOT NULL,
    row_id uuid NOT NULL,
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    reason text NOT NULL,
    cause text NOT NULL,
    owner text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attributions_pkey PRIMARY KEY (id),
    CONSTRAINT attributions_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT attributions_cause_fkey FOREIGN KEY (cause, owner) REFERENCES failure_causes (cause, owner),
    CONSTRAINT attributions_subject_known CHECK (subject IN ('plant', 'work', 'harvest')),
    CONSTRAINT attributions_block_index_range CHECK (block_index >= 0)
);
COMMENT ON TABLE attributions IS
'Why plants, works and harvests failed or were lost; the latest of a row counts; failures before this table have none';
COMMENT ON COLUMN attributions.id IS 'Order of storing';
COMMENT ON COLUMN attributions.subject IS 'What failed: plant, work or harvest';
COMMENT ON COLUMN attributions.row_id IS 'Its id';
COMMENT ON COLUMN attributions.block_index IS 'The block it concerns';
COMMENT ON COLUMN attributions.farmer_id IS 'The farmer it concerns';
COMMENT ON COLUMN attributions.reason IS 'error_reason of the row';
COMMENT ON COLUMN attributions.cause IS 'What was behind it';
COMMENT ON COLUMN attributions.owner IS 'Whose it is';
COMMENT ON COLUMN attributions.created_at IS 'When it was stored';

CREATE INDEX idx_attributions_row ON attributions (row_id);
CREATE INDEX idx_attributions_block ON attributions (block_index);

CREATE TRIGGER failure_causes_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON failure_causes
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attributions_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON attributions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_attribution() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM attributions AS a WHERE a.row_id = NEW.id AND a.reason = NEW.error_reason
    ) THEN
        RAISE EXCEPTION 'row % of % failed without a cause', NEW.id, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_attributed', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION check_attribution() IS 'Refuses at commit a failure that no attribution explains';

CREATE CONSTRAINT TRIGGER plant_transactions_attributed AFTER INSERT OR UPDATE ON plant_transactions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.error_reason IS NOT NULL) EXECUTE FUNCTION check_attribution();
CREATE CONSTRAINT TRIGGER work_results_attributed AFTER INSERT OR UPDATE ON work_results
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.error_reason IS NOT NULL) EXECUTE FUNCTION check_attribution();
CREATE CONSTRAINT TRIGGER harvest_transactions_attributed AFTER INSERT OR UPDATE ON harvest_transactions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.error_reason IS NOT NULL) EXECUTE FUNCTION check_attribution();

-- From 010_money.sql
-- The money ledger: double entry, balanced by the database itself, and how far the chain was followed.
-- Amounts are stroops: of XLM on the accounts master and fees, of KALE on all others.

CREATE TABLE money_accounts (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    farmer_id uuid,
    asset text NOT NULL,
    balance numeric(39, 0) NOT NULL DEFAULT 0,
    CONSTRAINT money_accounts_pkey PRIMARY KEY (id),
    CONSTRAINT money_accounts_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT money_accounts_kind_known CHECK (
        kind IN ('available', 'staked', 'mint', 'external', 'loss', 'unobserved', 'master', 'fees')
    ),
    CONSTRAINT money_accounts_owner CHECK ((kind IN ('available', 'staked')) = (farmer_id IS NOT NULL)),
    CONSTRAINT money_accounts_asset CHECK (
        asset = CASE WHEN kind IN ('master', 'fees') THEN 'XLM' ELSE 'KALE' END
    ),
    CONSTRAINT money_accounts_farmer_not_negative CHECK (farmer_id IS NULL OR balance >= 0)
);
COMMENT ON TABLE money_accounts IS 'Accounts of the money ledger; balances are the sums of their postings';
COMMENT ON COLUMN money_accounts.id IS 'The account''s id';
COMMENT ON COLUMN money_accounts.kind IS
'available, staked: a farmer''s; mint: rewards the farm minted; external: deposits and outflows; loss: stakes lost;
unobserved: what moved in ledgers that could not be read; master, fees: fees paid, in XLM';
COMMENT ON COLUMN money_accounts.farmer_id IS 'The farmer, of a farmer''s account';
COMMENT ON COLUMN money_accounts.asset IS 'KALE or XLM';
COMMENT ON COLUMN money_accounts.balance IS 'Sum of the postings, kept by a trigger; never negative for a farmer';

CREATE UNIQUE INDEX idx_money_accounts_farmer_kind ON money_accounts (farmer_id, kind) WHERE farmer_id IS NOT NULL;
CREATE UNIQUE INDEX idx_money_accounts_kind ON money_accounts (kind) WHERE farmer_id IS NULL;

INSERT INTO money_accounts (kind, asset) VALUES
('mint', 'KALE'),
('external', 'KALE'),
('loss', 'KALE'),
('unobserved', 'KALE'),
('master', 'XLM'),
('fees', 'XLM');

CREATE TABLE money_transfers (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    effect text NOT NULL,
    transaction_hash bytea,
    farmer_id uuid,
    block_index bigint,
    ledger_sequence bigint,
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT money_transfers_pkey PRIMARY KEY (id),
    CONSTRAINT money_transfers_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT money_transfers_kind_known CHECK (
        kind IN ('stake', 'harvest', 'loss', 'taken', 'reopened', 'deposit', 'outflow', 'fee', 'adjustment')
    ),
    CONSTRAINT money_transfers_effect_given CHECK (effect <> ''),
    CONSTRAINT money_transfers_hash_length CHECK (octet_length(transaction_hash) = 32),
    CONSTRAINT money_transfers_block_index_range CHECK (block_index >= 0),
    CONSTRAINT money_transfers_of_pail CHECK (
        kind NOT IN ('stake', 'harvest', 'loss', 'taken', 'reopened')
        OR (farmer_id IS NOT NULL AND block_index IS NOT NULL)
    ),
    CONSTRAINT money_transfers_reason_known CHECK (
        CASE kind
            WHEN 'loss' THEN coalesce(reason IN ('never_worked', 'pail_expired', 'other_loss'), FALSE)
            WHEN 'adjustment' THEN coalesce(reason IN ('unread_ledgers', 'shortfall', 'opening'), FALSE)
            ELSE reason IS NULL
        END
    )
);
COMMENT ON TABLE money_transfers IS
'What was booked, once for each effect of each transaction; rows are only ever added';
COMMENT ON COLUMN money_transfers.id IS 'Order of booking';
COMMENT ON COLUMN money_transfers.kind IS
'stake: planted; harvest: stake and reward came back; loss: the stake is gone; taken: the pail was emptied in ledgers
that could not be read; reopened: a pail held to be lost or taken was found alive;
deposit; outflow: KALE left that the pool did not send; fee; adjustment: books set right';
COMMENT ON COLUMN money_transfers.effect IS 'What of the transaction it books: kind, farmer and block';
COMMENT ON COLUMN money_transfers.transaction_hash IS 'The transaction that did it; null where none is known to have';
COMMENT ON COLUMN money_transfers.farmer_id IS 'The farmer concerned; null of fees';
COMMENT ON COLUMN money_transfers.block_index IS 'The block of the pail concerned';
COMMENT ON COLUMN money_transfers.ledger_sequence IS 'The ledger in which it happened; null where that is not known';
COMMENT ON COLUMN money_transfers.reason IS 'Why a stake was lost or books were adjusted';
COMMENT ON COLUMN money_transfers.created_at IS 'When it was booked';

CREATE UNIQUE INDEX idx_money_transfers_transaction_effect ON money_transfers (transaction_hash, effect)
WHERE transaction_hash IS NOT NULL;
CREATE UNIQUE INDEX idx_money_transfers_effect ON money_transfers (effect) WHERE transaction_hash IS NULL;
-- Whatever transaction it is said to have been: a pail is planted once and harvested once.
CREATE UNIQUE INDEX idx_money_transfers_pail ON money_transfers (farmer_id, block_index, kind)
WHERE kind IN ('stake', 'harvest');
CREATE INDEX idx_money_transfers_closing ON money_transfers (farmer_id, block_index)
WHERE kind IN ('loss', 'taken', 'reopened');
CREATE INDEX idx_money_transfers_created_at ON money_transfers USING brin (created_at);

CREATE TABLE money_postings (
    transfer_id bigint NOT NULL,
    account_id bigint NOT NULL,
    amount numeric(39, 0) NOT NULL,
    CONSTRAINT money_postings_pkey PRIMARY KEY (transfer_id, account_id),
    CONSTRAINT money_postings_transfer_id_fkey FOREIGN KEY (transfer_id) REFERENCES money_transfers (id),
    CONSTRAINT money_postings_account_id_fkey FOREIGN KEY (account_id) REFERENCES money_accounts (id),
    CONSTRAINT money_postings_amount_moves CHECK (amount <> 0)
);
COMMENT ON TABLE money_postings IS 'The legs of transfers; those of one transfer sum to zero in each asset';
COMMENT ON COLUMN money_postings.transfer_id IS 'The transfer';
COMMENT ON COLUMN money_postings.account_id IS 'The account';
COMMENT ON COLUMN money_postings.amount IS 'What the account gains (positive) or gives (negative)';

CREATE INDEX idx_money_postings_account ON money_postings (account_id) INCLUDE (amount);

CREATE TABLE chain_cursor (
    one_row smallint NOT NULL DEFAULT 1,
    ledger_sequence bigint,
    unread_from bigint,
    equal_at bigint,
    updated_at timestamptz,
    CONSTRAINT chain_cursor_pkey PRIMARY KEY (one_row),
    CONSTRAINT chain_cursor_one_row CHECK (one_row = 1),
    CONSTRAINT chain_cursor_ledger_sequence_range CHECK (ledger_sequence >= 0),
    CONSTRAINT chain_cursor_unread_from_range CHECK (unread_from BETWEEN 0 AND ledger_sequence),
    CONSTRAINT chain_cursor_equal_at_range CHECK (equal_at BETWEEN 0 AND ledger_sequence)
);
COMMENT ON TABLE chain_cursor IS 'One row: how far the ledger was followed and its effects were booked';
COMMENT ON COLUMN chain_cursor.one_row IS 'Always 1: there is one row';
COMMENT ON COLUMN chain_cursor.ledger_sequence IS 'The last ledger that was read; null: none was yet';
COMMENT ON COLUMN chain_cursor.unread_from IS
'The first ledger that could not be read and that the books are not yet set right for; null: there is none';
COMMENT ON COLUMN chain_cursor.equal_at IS
'The last ledger as of which the books were set equal to the accounts: what was before is in them already';
COMMENT ON COLUMN chain_cursor.updated_at IS 'When the row last changed; null: it never did';

INSERT INTO chain_cursor (one_row) VALUES (1);

CREATE TRIGGER update_chain_cursor_updated_at BEFORE UPDATE ON chain_cursor
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER chain_cursor_forward BEFORE UPDATE ON chain_cursor
FOR EACH ROW WHEN (
    new.ledger_sequence IS NULL OR new.ledger_sequence < old.ledger_sequence
    OR coalesce(new.equal_at, 0) < old.equal_at
) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER chain_cursor_kept BEFORE DELETE OR TRUNCATE ON chain_cursor
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER money_accounts_identity BEFORE UPDATE ON money_accounts
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('balance');
CREATE TRIGGER money_accounts_kept BEFORE DELETE OR TRUNCATE ON money_accounts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER money_transfers_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON money_transfers
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER money_postings_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON money_postings
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_transfer() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    checked bigint := CASE TG_TABLE_NAME WHEN 'money_transfers' THEN (to_jsonb(NEW) ->> 'id')::bigint
        ELSE (to_jsonb(NEW) ->> 'transfer_id')::bigint END;
    legs bigint;
    kale numeric;
    xlm numeric;
BEGIN
    SELECT count(*), coalesce(sum(p.amount) FILTER (WHERE a.asset = 'KALE'), 0),
        coalesce(sum(p.amount) FILTER (WHERE a.asset = 'XLM'), 0)
    INTO legs, kale, xlm
    FROM money_postings AS p INNER JOIN money_accounts AS a ON a.id = p.account_id
    WHERE p.transfer_id = checked;
    IF legs < 2 OR kale <> 0 OR xlm <> 0 THEN
        RAISE EXCEPTION 'transfer % has % legs that sum to % KALE and % XLM', checked, legs, kale, xlm
            USING ERRCODE = 'check_violation', CONSTRAINT = 'money_transfers_balanced', TABLE = 'money_transfers';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION check_transfer() IS 'Refuses a transfer with fewer than two legs or an unbalanced sum';

CREATE CONSTRAINT TRIGGER money_transfers_balanced AFTER INSERT ON money_transfers
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transfer();
CREATE CONSTRAINT TRIGGER money_postings_balanced AFTER INSERT ON money_postings
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transfer();

-- Runs as the owner: the application may add postings, but change no balance.
CREATE FUNCTION keep_balances() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM farmers AS f
    WHERE f.id IN (
        SELECT t.farmer_id FROM added AS p INNER JOIN money_transfers AS t ON t.id = p.transfer_id
        UNION SELECT a.farmer_id FROM added AS p INNER JOIN money_accounts AS a ON a.id = p.account_id
    )
    ORDER BY f.id FOR NO KEY UPDATE;
    PERFORM FROM money_accounts AS a WHERE a.id IN (SELECT p.account_id FROM added AS p) ORDER BY a.id FOR UPDATE;
    UPDATE money_accounts AS a
    SET balance = a.balance + s.amount
    FROM (SELECT p.account_id, sum(p.amount) AS amount FROM added AS p GROUP BY p.account_id) AS s
    WHERE a.id = s.account_id;
    UPDATE farmers AS f
    SET balance = f.balance + coalesce(s.available, 0), earned_balance = f.earned_balance + coalesce(s.earned, 0)
    FROM (
        SELECT
            t.farmer_id,
            sum(p.amount) FILTER (WHERE a.kind = 'available') AS available,
            -sum(p.amount) FILTER (WHERE a.kind = 'mint') AS earned
        FROM added AS p
        INNER JOIN money_transfers AS t ON t.id = p.transfer_id
        INNER JOIN money_accounts AS a ON a.id = p.account_id
        WHERE a.kind IN ('available', 'mint')
        GROUP BY t.farmer_id
    ) AS s
    WHERE f.id = s.farmer_id;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION keep_balances() IS 'Adds new postings to the balances of their accounts and farmers';

CREATE FUNCTION check_posting_owner() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added AS p
        INNER JOIN money_transfers AS t ON t.id = p.transfer_id
        INNER JOIN money_accounts AS a ON a.id = p.account_id
        WHERE (a.farmer_id IS NOT NULL AND a.farmer_id IS DISTINCT FROM t.farmer_id)
            OR (a.kind = 'mint' AND t.farmer_id IS NULL)
    ) THEN
        RAISE EXCEPTION 'a transfer moves the KALE of the farmer it names, and of no other'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'money_postings_owner', TABLE = 'money_postings';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION check_posting_owner() IS
'Refuses a posting on an account of a farmer whom the transfer does not name';

CREATE TRIGGER money_postings_owner AFTER INSERT ON money_postings
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_posting_owner();

-- Every farmer has two accounts from the beginning, and begins with nothing.
CREATE FUNCTION open_money_accounts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO money_accounts (kind, farmer_id, asset)
    SELECT k.kind, f.id, 'KALE' FROM added AS f CROSS JOIN (VALUES ('available'), ('staked')) AS k (kind)
    ORDER BY f.id, k.kind;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION open_money_accounts() IS 'Opens the accounts of new farmers';

CREATE TRIGGER farmers_begin_empty BEFORE INSERT ON farmers
FOR EACH ROW WHEN (new.balance <> 0 OR new.earned_balance <> 0) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER farmers_accounts AFTER INSERT ON farmers
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION open_money_accounts();

COMMENT ON COLUMN farmers.balance IS 'KALE on the account: the balance of its account available, kept by a trigger';
COMMENT ON COLUMN farmers.earned_balance IS 'Rewards booked so far: what was posted from mint, kept by a trigger';

-- What was booked before there was a money ledger. Deposits were not recorded: what is on the accounts came from
-- `unobserved`.
DO $$
BEGIN
    INSERT INTO money_accounts (kind, farmer_id, asset)
    SELECT k.kind, f.id, 'KALE' FROM farmers AS f CROSS JOIN (VALUES ('available'), ('staked')) AS k (kind)
    ORDER BY f.created_at, f.id, k.kind;

    INSERT INTO money_transfers (kind, effect, transaction_hash, farmer_id, block_index, ledger_sequence, reason)
    SELECT
        'stake', 'stake/' || h.farmer_id || '/' || h.block_index, decode(p.transaction_hash, 'hex'), h.farmer_id,
        h.block_index, h.planted_ledger, NULL
    FROM harvest_transactions AS h
    LEFT JOIN plant_transactions AS p
        ON p.block_index = h.block_index AND p.farmer_id = h.farmer_id AND p.status = 'confirmed'
    WHERE h.stake_amount > 0
    UNION ALL
    SELECT
        e.kind, e.kind || '/' || h.farmer_id || '/' || h.block_index || e.number, decode(h.transaction_hash, 'hex'),
        h.farmer_id, h.block_index, h.ledger_sequence,
        CASE WHEN e.kind <> 'loss' THEN NULL WHEN h.error_reason = 'timeout' THEN 'never_worked'
            WHEN h.error_reason = 'expired' THEN 'pail_expired' ELSE 'other_loss' END
    FROM harvest_transactions AS h
    INNER JOIN (
        VALUES ('confirmed', 'harvest', ''), ('lost', 'loss', '/1'), ('failed', 'taken', '/1')
    ) AS e (status, kind, number)
        ON e.status = h.status
    WHERE h.stake_amount + coalesce(h.reward_amount, 0) > 0
    UNION ALL
    SELECT 'adjustment', 'adjustment/' || f.id || '/opening', NULL, f.id, NULL, NULL, 'opening'
    FROM farmers AS f WHERE f.balance > 0
    UNION ALL
    SELECT 'fee', 'fee', a.hash, NULL, NULL, a.result_ledger, NULL FROM attempts AS a WHERE a.fee_charged > 0;

    INSERT INTO money_postings (transfer_id, account_id, amount)
    SELECT t.id, a.id, l.amount
    FROM money_transfers AS t
    LEFT JOIN harvest_transactions AS h ON h.farmer_id = t.farmer_id AND h.block_index = t.block_index
    LEFT JOIN farmers AS f ON f.id = t.farmer_id
    LEFT JOIN attempts AS s ON s.hash = t.transaction_hash
    CROSS JOIN LATERAL (
        VALUES
        ('stake', 'staked', h.stake_amount), ('stake', 'unobserved', -h.stake_amount),
        ('harvest', 'staked', -h.stake_amount), ('harvest', 'mint', -h.reward_amount),
        ('harvest', 'unobserved', h.stake_amount + h.reward_amount),
        ('loss', 'staked', -h.stake_amount), ('loss', 'loss', h.stake_amount),
        ('taken', 'staked', -h.stake_amount), ('taken', 'unobserved', h.stake_amount),
        ('adjustment', 'available', f.balance), ('adjustment', 'unobserved', -f.balance),
        ('fee', 'master', -s.fee_charged), ('fee', 'fees', s.fee_charged)
    ) AS l (kind, account, amount)
    INNER JOIN money_accounts AS a
        ON a.kind = l.account AND (a.farmer_id = t.farmer_id OR a.kind NOT IN ('available', 'staked'))
    WHERE l.kind = t.kind AND l.amount <> 0;

    UPDATE money_accounts AS a
    SET balance = s.amount
    FROM (SELECT p.account_id, sum(p.amount) AS amount FROM money_postings AS p GROUP BY p.account_id) AS s
    WHERE a.id = s.account_id;
END;
$$;

CREATE TRIGGER money_postings_balances AFTER INSERT ON money_postings
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION keep_balances();

-- For the checks of what was added since the last one.
CREATE INDEX idx_attempts_ended_at ON attempts (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX idx_plant_transactions_confirmed_at ON plant_transactions (confirmed_at) WHERE confirmed_at IS NOT NULL;
CREATE INDEX idx_harvest_transactions_confirmed_at ON harvest_transactions (confirmed_at)
WHERE confirmed_at IS NOT NULL;
CREATE INDEX idx_plant_requests_created_at ON plant_requests (created_at);

CREATE FUNCTION ledger_check(since timestamptz DEFAULT '-infinity')
RETURNS TABLE (kind text, key text, detail text) LANGUAGE plpgsql STABLE
-- Planned for the very time given: a minute needs other indexes than a year.
SET plan_cache_mode = force_custom_plan SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
RETURN QUERY
SELECT 'transfer_unbalanced', CAST(t.id AS text),
    format('%s legs that sum to %s KALE and %s XLM', s.legs, s.kale, s.xlm)
FROM money_transfers AS t
CROSS JOIN LATERAL (
    SELECT
        count(*) AS legs,
        coalesce(sum(p.amount) FILTER (WHERE a.asset = 'KALE'), 0) AS kale,
        coalesce(sum(p.amount) FILTER (WHERE a.asset = 'XLM'), 0) AS xlm
    FROM money_postings AS p INNER JOIN money_accounts AS a ON a.id = p.account_id WHERE p.transfer_id = t.id
) AS s
WHERE t.created_at >= since AND (s.legs < 2 OR s.kale <> 0 OR s.xlm <> 0)

UNION ALL
SELECT 'books_unbalanced', a.asset, format('the balances of all accounts sum to %s', sum(a.balance))
FROM money_accounts AS a GROUP BY a.asset HAVING sum(a.balance) <> 0

-- The sums over all postings are taken in a whole check alone: they grow with the pool's life.
UNION ALL
SELECT 'balance_wrong', CAST(a.id AS text),
    format('%s %s has balance %s, its postings sum to %s', a.kind, a.farmer_id, a.balance, coalesce(s.amount, 0))
FROM money_accounts AS a
LEFT JOIN (
    SELECT p.account_id, sum(p.amount) AS amount FROM money_postings AS p
    WHERE since = '-infinity' GROUP BY p.account_id
) AS s ON s.account_id = a.id
WHERE since = '-infinity' AND a.balance <> coalesce(s.amount, 0)

UNION ALL
SELECT 'farmer_balance_wrong', CAST(f.id AS text),
    format('balance is %s, the account available has %s', f.balance, coalesce(a.balance, 0))
FROM farmers AS f
LEFT JOIN money_accounts AS a ON a.farmer_id = f.id AND a.kind = 'available'
WHERE f.balance <> coalesce(a.balance, -1)

UNION ALL
SELECT 'earned_wrong', CAST(f.id AS text),
    format('earned_balance is %s, harvests booked %s', f.earned_balance, coalesce(s.earned, 0))
FROM farmers AS f
LEFT JOIN (
    SELECT t.farmer_id, -sum(p.amount) AS earned
    FROM money_postings AS p
    INNER JOIN money_accounts AS a ON a.id = p.account_id AND a.kind = 'mint'
    INNER JOIN money_transfers AS t ON t.id = p.transfer_id
    WHERE since = '-infinity' GROUP BY t.farmer_id
) AS s ON s.farmer_id = f.id
WHERE since = '-infinity' AND f.earned_balance <> coalesce(s.earned, 0)

UNION ALL
SELECT 'staked_wrong', CAST(a.farmer_id AS text),
    format('the account staked has %s, the pending pails hold %s', a.balance, coalesce(s.stake, 0))
FROM money_accounts AS a
LEFT JOIN (
    SELECT h.farmer_id, sum(h.stake_amount) AS stake
    FROM harvest_transactions AS h WHERE h.status = 'pending' GROUP BY h.farmer_id
) AS s ON s.farmer_id = a.farmer_id
WHERE a.kind = 'staked' AND a.balance <> coalesce(s.stake, 0)

UNION ALL
SELECT 'plant_unbooked', CAST(p.id AS text),
    format('block %s, farmer %s: confirmed, its stake of %s is not booked', p.block_index, p.farmer_id, p.stake_amount)
FROM plant_transactions AS p
WHERE p.status = 'confirmed' AND p.confirmed_at >= since AND p.stake_amount > 0 AND NOT EXISTS (
    SELECT FROM money_transfers AS t
    WHERE t.kind = 'stake' AND t.farmer_id = p.farmer_id AND t.block_index = p.block_index
)

UNION ALL
SELECT 'plant_without_pail', CAST(p.id AS text),
    format('block %s, farmer %s: confirmed, but no harvest is pending or done', p.block_index, p.farmer_id)
FROM plant_transactions AS p
WHERE p.status = 'confirmed' AND p.confirmed_at >= since AND NOT EXISTS (
    SELECT FROM harvest_transactions AS h WHERE h.farmer_id = p.farmer_id AND h.block_index = p.block_index
)

UNION ALL
SELECT 'harvest_unbooked', CAST(h.id AS text),
    format('block %s, farmer %s: %s, but not booked', h.block_index, h.farmer_id, h.status)
FROM harvest_transactions AS h
WHERE h.confirmed_at >= since AND h.stake_amount + h.reward_amount > 0 AND NOT EXISTS (
    SELECT FROM money_transfers AS t
    WHERE t.kind = 'harvest' AND t.farmer_id = h.farmer_id AND t.block_index = h.block_index
)

UNION ALL
SELECT 'loss_unbooked', CAST(h.id AS text),
    format('block %s, farmer %s: %s, but not booked', h.block_index, h.farmer_id, h.status)
FROM harvest_transactions AS h
WHERE since = '-infinity' AND h.status IN ('lost', 'failed') AND h.stake_amount > 0 AND NOT EXISTS (
    SELECT FROM money_transfers AS t
    WHERE t.kind IN ('loss', 'taken') AND t.farmer_id = h.farmer_id AND t.block_index = h.block_index
    AND t.kind = CASE h.status WHEN 'lost' THEN 'loss' ELSE 'taken' END
)

UNION ALL
SELECT 'attempt_without_effect', encode(a.hash, 'hex'),
    format('a %s succeeded in ledger %s, but its intent %s did not', a.kind, a.result_ledger, a.intent_id)
FROM attempts AS a
WHERE a.status = 'succeeded' AND a.ended_at >= since AND CASE a.kind
    WHEN 'plant' THEN NOT EXISTS (
        SELECT FROM plant_transactions AS p WHERE p.id = a.intent_id AND p.status = 'confirmed'
    )
    WHEN 'harvest' THEN NOT EXISTS (
        SELECT FROM harvest_transactions AS h WHERE h.id = a.intent_id AND h.status = 'confirmed'
    )
    WHEN 'work' THEN NOT EXISTS (SELECT FROM work_results AS w WHERE w.id = a.intent_id AND w.status = 'success')
    WHEN 'onboarding' THEN EXISTS (
        SELECT FROM farmers AS f WHERE f.onboarding_batch = a.intent_id AND f.status = 'onboarding'
    )
    ELSE false
END

UNION ALL
SELECT 'expiry_unproven', encode(a.hash, 'hex'),
    format('expired by ledger %s, but valid until ledger %s', a.result_ledger, a.max_ledger)
FROM attempts AS a
WHERE a.status = 'expired' AND a.ended_at >= since AND coalesce(a.result_ledger, 0) < a.max_ledger

UNION ALL
SELECT 'fee_unbooked', encode(a.hash, 'hex'), format('a fee of %s stroops of XLM is not booked', a.fee_charged)
FROM attempts AS a
WHERE a.fee_charged > 0 AND a.ended_at >= since AND NOT EXISTS (
    SELECT FROM money_transfers AS t WHERE t.transaction_hash = a.hash AND t.kind = 'fee'
)

UNION ALL
SELECT 'event_numbers_gap', r.request_id, format('%s events are numbered up to %s', s.numbered, s.last)
FROM plant_requests AS r
CROSS JOIN LATERAL (
    SELECT count(n.number) AS numbered, coalesce(max(n.number), 0) AS last
    FROM plant_request_plants AS n WHERE n.request_id = r.request_id
) AS s
WHERE r.created_at >= since AND s.numbered <> s.last;
END;
$$;
COMMENT ON FUNCTION ledger_check(timestamptz) IS
'Rows that break a rule of the books: all of them, or those among what was added since a time';

-- From 011_transfers_of_a_pail.sql
-- What is booked of a pail is counted at every booking; without an index that reads all transfers there ever were.
CREATE INDEX idx_money_transfers_of_pail ON money_transfers (farmer_id, block_index);
DROP INDEX idx_money_transfers_closing;

-- From 012_counterparties.sql
-- Who paid a deposit and who got an outflow, as the transaction says.

ALTER TABLE money_transfers ADD COLUMN counterparty text;
ALTER TABLE money_transfers ADD COLUMN memo text;
COMMENT ON COLUMN money_transfers.counterparty IS
'Of a deposit the sender, of a payment out the receiver (G..., M... or C...); null where the transaction names none';
COMMENT ON COLUMN money_transfers.memo IS 'The memo of a payment, kind and value such as text:hello; null: it has none';
ALTER TABLE money_transfers ADD CONSTRAINT money_transfers_counterparty_form CHECK (
    counterparty ~ '^[GMC][A-Z2-7]{55,68}$'
);
ALTER TABLE money_transfers ADD CONSTRAINT money_transfers_memo_form CHECK (memo ~ '^(text|id|hash|return):');

CREATE INDEX idx_money_transfers_deposits ON money_transfers (farmer_id, id) WHERE kind = 'deposit';

-- From 013_access_tokens.sql
-- Tokens of farmers, operators and poolers.

CREATE TABLE access_tokens (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    digest bytea NOT NULL,
    label text NOT NULL,
    farmer_id uuid,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT access_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT access_tokens_digest_key UNIQUE (digest),
    CONSTRAINT access_tokens_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT access_tokens_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT access_tokens_label_length CHECK (char_length(label) BETWEEN 1 AND 100),
    CONSTRAINT access_tokens_scopes_known CHECK (
        cardinality(scopes) > 0
        AND scopes <@ ARRAY['pool', 'read', 'settings', 'money', 'operate', 'status']
    ),
    CONSTRAINT access_tokens_farmer_scopes CHECK (
        farmer_id IS NULL OR NOT scopes && ARRAY['pool', 'operate']
    ),
    CONSTRAINT access_tokens_expires_later CHECK (expires_at > created_at)
);
COMMENT ON TABLE access_tokens IS
'Who may call what; the token itself is shown once and never stored. Rows are kept, revoked or not';
COMMENT ON COLUMN access_tokens.id IS 'Names the token in lists and logs';
COMMENT ON COLUMN access_tokens.digest IS 'SHA-256 of the token';
COMMENT ON COLUMN access_tokens.label IS 'What it is for, in the operator''s words';
COMMENT ON COLUMN access_tokens.farmer_id IS 'The only farmer it reaches; null: all of them';
COMMENT ON COLUMN access_tokens.scopes IS
'What it may do. pool: plant and report; read, settings, money: see farmers, change their settings, move their funds;
operate: create and list farmers; status: see the service''s status';
COMMENT ON COLUMN access_tokens.created_at IS 'When it was made';
COMMENT ON COLUMN access_tokens.expires_at IS 'When it ends by itself';
COMMENT ON COLUMN access_tokens.revoked_at IS 'When it was revoked; null: it was not';

CREATE INDEX idx_access_tokens_farmer ON access_tokens (farmer_id) WHERE farmer_id IS NOT NULL;

CREATE TRIGGER access_tokens_identity BEFORE UPDATE ON access_tokens
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('revoked_at');
CREATE TRIGGER access_tokens_revoked_for_good BEFORE UPDATE ON access_tokens
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER access_tokens_kept BEFORE DELETE OR TRUNCATE ON access_tokens
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- From 014_farmer_settings.sql
-- A stake that is fixed instead of a part of the balance, and labels of farmers.

ALTER TABLE farmers ADD COLUMN fixed_stake bigint;
ALTER TABLE farmers ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
ALTER TABLE farmers ADD CONSTRAINT farmers_fixed_stake_range CHECK (fixed_stake >= 0);
ALTER TABLE farmers ADD CONSTRAINT farmers_labels_form CHECK (
    jsonb_typeof(labels) = 'object' AND octet_length(labels::text) <= 8192
);
COMMENT ON COLUMN farmers.fixed_stake IS
'Staked in each block, or the whole balance where that is less; null: stake_percentage of the balance is';
COMMENT ON COLUMN farmers.labels IS 'Names and values that the operator gave the farmer';

DROP TRIGGER farmers_identity ON farmers;
CREATE TRIGGER farmers_identity BEFORE UPDATE ON farmers
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'balance', 'stake_percentage', 'fixed_stake', 'harvest_after_blocks', 'earned_balance', 'status', 'labels',
    'onboarding_batch', 'last_planted_block', 'updated_at'
);

-- From 015_pooler_leases.sql
-- Poolers that attend, and farmers that go from one pooler to another in the middle of a block.

CREATE TABLE poolers (
    pooler_id text NOT NULL,
    attended_ledger bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT poolers_pkey PRIMARY KEY (pooler_id),
    CONSTRAINT poolers_pooler_id_form CHECK (pooler_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    CONSTRAINT poolers_attended_ledger_range CHECK (attended_ledger >= 0)
);
COMMENT ON TABLE poolers IS 'Poolers that have attended';
COMMENT ON COLUMN poolers.pooler_id IS 'The pooler''s stable name';
COMMENT ON COLUMN poolers.attended_ledger IS 'The last closed ledger when it was last heard';
COMMENT ON COLUMN poolers.created_at IS 'When it was first known';

CREATE TABLE lease_handovers (
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    generation integer NOT NULL,
    pooler_id text NOT NULL,
    taken_from text NOT NULL,
    reason text NOT NULL,
    ledger_sequence bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lease_handovers_pkey PRIMARY KEY (block_index, farmer_id, generation),
    CONSTRAINT lease_handovers_plant_fkey FOREIGN KEY (block_index, farmer_id)
    REFERENCES plant_transactions (block_index, farmer_id),
    CONSTRAINT lease_handovers_generation_range CHECK (generation >= 2),
    CONSTRAINT lease_handovers_another CHECK (pooler_id <> taken_from),
    CONSTRAINT lease_handovers_reason_known CHECK (reason IN ('silent', 'drained', 'excluded')),
    CONSTRAINT lease_handovers_ledger_sequence_range CHECK (ledger_sequence >= 0)
);
COMMENT ON TABLE lease_handovers IS
'Farmers that went to another pooler in the middle of a block; the highest generation holds, before the first one it is
the pooler of the plant';
COMMENT ON COLUMN lease_handovers.block_index IS 'The block';
COMMENT ON COLUMN lease_handovers.farmer_id IS 'The farmer';
COMMENT ON COLUMN lease_handovers.generation IS 'The generation of the new lease; the plant''s own is 1';
COMMENT ON COLUMN lease_handovers.pooler_id IS 'The pooler that has the farmer since';
COMMENT ON COLUMN lease_handovers.taken_from IS 'The pooler that had it before';
COMMENT ON COLUMN lease_handovers.reason IS
'silent: it answered nothing for three ledgers; drained: it said that it stops; excluded: it was revoked or
quarantined';
COMMENT ON COLUMN lease_handovers.ledger_sequence IS 'The last closed ledger when it was decided';
COMMENT ON COLUMN lease_handovers.created_at IS 'When it was stored';

CREATE TRIGGER lease_handovers_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON lease_handovers
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_handover() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    holder text;
    held integer;
BEGIN
    SELECT h.pooler_id, h.generation INTO holder, held
    FROM lease_handovers AS h
    WHERE h.block_index = NEW.block_index AND h.farmer_id = NEW.farmer_id
    ORDER BY h.generation DESC LIMIT 1;
    IF holder IS NULL THEN
        SELECT p.pooler_id, 1 INTO holder, held
        FROM plant_transactions AS p
        WHERE p.block_index = NEW.block_index AND p.farmer_id = NEW.farmer_id;
    END IF;
    IF NEW.generation <> held + 1 OR NEW.taken_from <> holder THEN
        RAISE EXCEPTION 'lease % of farmer % in block % does not follow lease % of %',
            NEW.generation, NEW.farmer_id, NEW.block_index, held, holder
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'lease_handovers_follows', TABLE = 'lease_handovers';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION check_handover() IS 'Refuses a lease that does not follow the one that holds';

CREATE TRIGGER lease_handovers_follows BEFORE INSERT ON lease_handovers
FOR EACH ROW EXECUTE FUNCTION check_handover();

ALTER TABLE block_events DROP CONSTRAINT block_events_event_type_known;
ALTER TABLE block_events ADD CONSTRAINT block_events_event_type_known CHECK (event_type IN (
    'detected', 'plant_requested', 'planted', 'plant_failed', 'work_complete', 'work_failed', 'harvested',
    'harvest_lost', 'harvest_taken', 'harvest_reopened', 'life_alarm', 'life_extended', 'quarantine_began',
    'quarantine_ended', 'lease_moved'
));
COMMENT ON COLUMN block_events.event_type IS
'What happened: block detected; plants, works and harvests requested and ended; lives of pails; quarantines; leases that
went to another pooler';

-- From 016_seed_rewraps.sql
-- A rotation of the key-encryption key seals every farmer's seed anew: by the tables' owner alone, never to an older
-- version, only where it says so (a statement by mistake is refused), and each change leaves a row behind.

DROP TRIGGER farmers_identity ON farmers;
CREATE TRIGGER farmers_identity BEFORE UPDATE ON farmers
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'balance', 'stake_percentage', 'fixed_stake', 'harvest_after_blocks', 'earned_balance', 'status', 'labels',
    'onboarding_batch', 'last_planted_block', 'updated_at', 'sealed_seed', 'key_version'
);

CREATE TABLE seed_rewraps (
    id bigint GENERATED ALWAYS AS IDENTITY,
    farmer_id uuid NOT NULL,
    old_key_version integer NOT NULL,
    new_key_version integer NOT NULL,
    rewrapped_by text NOT NULL DEFAULT session_user,
    rewrapped_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seed_rewraps_pkey PRIMARY KEY (id),
    CONSTRAINT seed_rewraps_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT seed_rewraps_never_older CHECK (new_key_version >= old_key_version)
);
COMMENT ON TABLE seed_rewraps IS 'Each time a farmer''s seed was sealed anew, by a trigger; rows are only added';
COMMENT ON COLUMN seed_rewraps.id IS 'Order of the changes';
COMMENT ON COLUMN seed_rewraps.farmer_id IS 'The farmer';
COMMENT ON COLUMN seed_rewraps.old_key_version IS 'Version of the key that had sealed the seed';
COMMENT ON COLUMN seed_rewraps.new_key_version IS 'Version of the key that seals it now';
COMMENT ON COLUMN seed_rewraps.rewrapped_by IS 'The role that was connected';
COMMENT ON COLUMN seed_rewraps.rewrapped_at IS 'When';

CREATE TRIGGER seed_rewraps_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON seed_rewraps
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION record_seed_rewrap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('kale_pool.rewrapping', true), '') <> 'on' THEN
        RAISE EXCEPTION 'the sealed seed of farmer % is changed by `kale-backend keys rotate` alone', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.sealed_seed IS NULL OR OLD.sealed_seed IS NULL THEN
        RAISE EXCEPTION 'the seed of farmer % can be sealed anew, not given or taken away', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO seed_rewraps (farmer_id, old_key_version, new_key_version)
    VALUES (OLD.id, OLD.key_version, NEW.key_version);
    RETURN NULL;
END;
$$;
CREATE TRIGGER farmers_seed_rewrapped AFTER UPDATE OF sealed_seed, key_version ON farmers
FOR EACH ROW WHEN (old.sealed_seed IS DISTINCT FROM new.sealed_seed OR old.key_version IS DISTINCT FROM new.key_version)
EXECUTE FUNCTION record_seed_rewrap();

-- From 017_withdrawals.sql
-- Money out: withdrawals with what they set aside, payout addresses, the switch that stops them, and the pool's cut.

ALTER TABLE money_accounts DROP CONSTRAINT money_accounts_kind_known;
ALTER TABLE money_accounts ADD CONSTRAINT money_accounts_kind_known CHECK (
    kind IN ('available', 'staked', 'due', 'mint', 'external', 'loss', 'unobserved', 'claims', 'master', 'fees')
);
ALTER TABLE money_accounts DROP CONSTRAINT money_accounts_owner;
ALTER TABLE money_accounts ADD CONSTRAINT money_accounts_owner CHECK (
    (kind IN ('available', 'staked', 'due')) = (farmer_id IS NOT NULL)
);
COMMENT ON COLUMN money_accounts.kind IS
'available, staked: a farmer''s; due: what of it is the pool''s cut; mint: rewards the farm minted; external: deposits,
withdrawals and outflows; loss: stakes lost; unobserved: what moved in ledgers that could not be read; claims: cuts that
farmers owe, negative; master, fees: fees paid, in XLM';

CREATE OR REPLACE FUNCTION open_money_accounts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO money_accounts (kind, farmer_id, asset)
    SELECT k.kind, f.id, 'KALE' FROM added AS f CROSS JOIN (VALUES ('available'), ('staked'), ('due')) AS k (kind)
    ORDER BY f.id, k.kind;
    RETURN NULL;
END;
$$;
INSERT INTO money_accounts (kind, asset) VALUES ('claims', 'KALE');
INSERT INTO money_accounts (kind, farmer_id, asset)
SELECT
    'due' AS kind,
    f.id AS farmer_id,
    'KALE' AS asset
FROM farmers AS f
ORDER BY f.created_at, f.id;

ALTER TABLE money_transfers DROP CONSTRAINT money_transfers_kind_known;
ALTER TABLE money_transfers ADD CONSTRAINT money_transfers_kind_known CHECK (
    kind IN (
        'stake', 'harvest', 'loss', 'taken', 'reopened', 'deposit', 'outflow', 'withdrawal', 'cut', 'cut_paid', 'fee',
        'adjustment'
    )
);
ALTER TABLE money_transfers DROP CONSTRAINT money_transfers_of_pail;
ALTER TABLE money_transfers ADD CONSTRAINT money_transfers_of_pail CHECK (
    kind NOT IN ('stake', 'harvest', 'loss', 'taken', 'reopened', 'cut')
    OR (farmer_id IS NOT NULL AND block_index IS NOT NULL)
);
COMMENT ON COLUMN money_transfers.kind IS
'stake: planted; harvest: stake and reward came back; loss: the stake is gone; taken: the pail was emptied in ledgers
that could not be read; reopened: a pail held to be lost or taken was found alive; deposit; withdrawal: paid out on the
farmer''s order; cut: the pool''s part of a reward, still on the farmer''s account; cut_paid: it was paid to the pool;
outflow: KALE left that the pool did not send; fee; adjustment: books set right';
COMMENT ON COLUMN money_transfers.effect IS
'What of the transaction it books: kind, farmer and block; a withdrawal is the outflow of its transaction';
-- A cut is taken once of a pail, like its harvest.
DROP INDEX idx_money_transfers_pail;
CREATE UNIQUE INDEX idx_money_transfers_pail ON money_transfers (farmer_id, block_index, kind)
WHERE kind IN ('stake', 'harvest', 'cut');

CREATE TABLE pool_cuts (
    id bigint GENERATED ALWAYS AS IDENTITY,
    basis_points integer NOT NULL,
    from_block bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pool_cuts_pkey PRIMARY KEY (id),
    CONSTRAINT pool_cuts_basis_points_range CHECK (basis_points BETWEEN 0 AND 10000),
    CONSTRAINT pool_cuts_from_block_range CHECK (from_block >= 0)
);
COMMENT ON TABLE pool_cuts IS 'The pool''s cut of rewards as it was set; without a row it is 0';
COMMENT ON COLUMN pool_cuts.id IS 'Order of setting; of those that concern a block the last one counts';
COMMENT ON COLUMN pool_cuts.basis_points IS 'The pool''s part of a reward, in hundredths of a percent, rounded down';
COMMENT ON COLUMN pool_cuts.from_block IS
'The first block it concerns: a change never concerns what is planted already';
COMMENT ON COLUMN pool_cuts.created_at IS 'When it was set';

CREATE TABLE withdrawals (
    id uuid NOT NULL,
    farmer_id uuid NOT NULL,
    kind text NOT NULL,
    idempotency_key text NOT NULL,
    destination text,
    memo text,
    amount bigint NOT NULL,
    cut_amount bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'requested',
    error_reason text,
    error_message text,
    created_ledger bigint NOT NULL,
    requested_time bigint NOT NULL,
    ledger_sequence bigint,
    transaction_hash text,
    limit_waived boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT withdrawals_pkey PRIMARY KEY (id),
    CONSTRAINT withdrawals_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT withdrawals_farmer_key UNIQUE (farmer_id, idempotency_key),
    CONSTRAINT withdrawals_kind_known CHECK (kind IN ('payment', 'exit', 'cut')),
    CONSTRAINT withdrawals_idempotency_key_given CHECK (idempotency_key <> ''),
    CONSTRAINT withdrawals_destination_form CHECK (destination ~ '^[GM][A-Z2-7]{55,68}$'),
    CONSTRAINT withdrawals_destination_given CHECK (
        CASE kind
            WHEN 'payment' THEN destination IS NOT NULL
            WHEN 'cut' THEN destination IS NULL
            ELSE destination IS NOT NULL OR amount = 0
        END
    ),
    CONSTRAINT withdrawals_memo_form CHECK (memo ~ '^(text|id|hash|return):'),
    CONSTRAINT withdrawals_amount_range CHECK (amount >= 0 AND (amount > 0 OR kind <> 'payment')),
    CONSTRAINT withdrawals_cut_amount_range CHECK (cut_amount >= 0),
    CONSTRAINT withdrawals_status_known CHECK (
        status IN ('requested', 'reserved', 'approved', 'sending', 'paid', 'refused', 'failed')
    ),
    CONSTRAINT withdrawals_refused_why CHECK ((status IN ('refused', 'failed')) = (error_reason IS NOT NULL)),
    CONSTRAINT withdrawals_paid_where CHECK (
        (status = 'paid') = (ledger_sequence IS NOT NULL AND transaction_hash IS NOT NULL)
    ),
    CONSTRAINT withdrawals_hash_form CHECK (transaction_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT withdrawals_ended_when CHECK ((status IN ('paid', 'refused', 'failed')) = (ended_at IS NOT NULL))
);
COMMENT ON TABLE withdrawals IS
'KALE on its way out of farmers'' accounts, from the request to the proof; a key means the same withdrawal for ever';
COMMENT ON COLUMN withdrawals.id IS
'The id, derived from farmer and key; its SHA-256 is the payment''s memo where the destination asks for no other';
COMMENT ON COLUMN withdrawals.farmer_id IS 'Whose KALE';
COMMENT ON COLUMN withdrawals.kind IS
'payment; exit: everything, and the account''s end; cut: nothing but the pool''s cut';
COMMENT ON COLUMN withdrawals.idempotency_key IS 'Chosen by whoever asked; a repeat returns this row';
COMMENT ON COLUMN withdrawals.destination IS 'Who is paid (G... or M...); null where nobody but the pool is';
COMMENT ON COLUMN withdrawals.memo IS 'The memo that the destination asks for, kind and value such as id:7';
COMMENT ON COLUMN withdrawals.amount IS 'What the destination gets; of an exit 0 until it is reserved';
COMMENT ON COLUMN withdrawals.cut_amount IS 'What the pool gets of its cut by the same transaction';
COMMENT ON COLUMN withdrawals.status IS
'requested: an exit that waits for its pails, or met a deposit at its end; reserved: the amount is set aside;
approved: may be signed; sending: a transaction is stored; paid: a ledger holds it; refused: never sent; failed: sent,
and the ledger refused it, or cannot be read where it may be';
COMMENT ON COLUMN withdrawals.error_reason IS 'Why it was refused or failed, for programs';
COMMENT ON COLUMN withdrawals.error_message IS 'The same for people';
COMMENT ON COLUMN withdrawals.created_ledger IS 'The last ledger that was closed when it was requested';
COMMENT ON COLUMN withdrawals.requested_time IS 'Ledger time of the request, Unix seconds; daily limits count by it';
COMMENT ON COLUMN withdrawals.ledger_sequence IS 'The ledger that paid';
COMMENT ON COLUMN withdrawals.transaction_hash IS 'The transaction that paid';
COMMENT ON COLUMN withdrawals.limit_waived IS 'An operator let it go beyond the daily limits';
COMMENT ON COLUMN withdrawals.created_at IS 'When it was stored';
COMMENT ON COLUMN withdrawals.updated_at IS 'When the row last changed';
COMMENT ON COLUMN withdrawals.ended_at IS 'When it ended';

CREATE UNIQUE INDEX idx_withdrawals_one_exit ON withdrawals (farmer_id)
WHERE kind = 'exit' AND status NOT IN ('refused', 'failed');
CREATE UNIQUE INDEX idx_withdrawals_one_cut ON withdrawals (farmer_id)
WHERE kind = 'cut' AND status IN ('requested', 'reserved', 'approved', 'sending');
CREATE INDEX idx_withdrawals_live ON withdrawals (farmer_id)
WHERE status IN ('requested', 'reserved', 'approved', 'sending');
CREATE INDEX idx_withdrawals_requested_time ON withdrawals (requested_time);
CREATE INDEX idx_withdrawals_paid ON withdrawals (transaction_hash) WHERE transaction_hash IS NOT NULL;
CREATE INDEX idx_withdrawals_ended_at ON withdrawals (ended_at) WHERE ended_at IS NOT NULL;

INSERT INTO allowed_transitions (table_name, old_status, new_status) VALUES
('withdrawals', 'requested', 'reserved'),
('withdrawals', 'requested', 'refused'),
('withdrawals', 'requested', 'paid'),
('withdrawals', 'reserved', 'approved'),
('withdrawals', 'reserved', 'refused'),
('withdrawals', 'reserved', 'paid'),
('withdrawals', 'reserved', 'failed'),
('withdrawals', 'approved', 'sending'),
('withdrawals', 'approved', 'refused'),
('withdrawals', 'approved', 'paid'),
('withdrawals', 'approved', 'failed'),
('withdrawals', 'sending', 'paid'),
('withdrawals', 'sending', 'requested'),
('withdrawals', 'sending', 'failed');

CREATE TRIGGER update_withdrawals_updated_at BEFORE UPDATE ON withdrawals
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER withdrawals_begin_requested BEFORE INSERT ON withdrawals
FOR EACH ROW WHEN (new.status <> 'requested' OR new.cut_amount <> 0) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER withdrawals_transition BEFORE UPDATE OF status ON withdrawals
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_transition();
CREATE TRIGGER withdrawals_final BEFORE UPDATE ON withdrawals
FOR EACH ROW WHEN (old.status IN ('paid', 'refused', 'failed')) EXECUTE FUNCTION refuse_change();
-- What is paid is settled when it is set aside; only the pool's own part may still be left out before it is sent.
CREATE TRIGGER withdrawals_amount_settled BEFORE UPDATE ON withdrawals
FOR EACH ROW WHEN (
    (
        new.amount <> old.amount AND (
            old.kind <> 'exit' OR (old.status <> 'requested' AND (new.status <> 'requested' OR new.amount <> 0))
        )
    )
    OR (
        new.cut_amount <> old.cut_amount AND old.status <> 'requested'
        AND (new.cut_amount <> 0 OR (old.status NOT IN ('reserved', 'approved') AND new.status <> 'requested'))
    )
) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER withdrawals_identity BEFORE UPDATE ON withdrawals
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'amount', 'cut_amount', 'status', 'error_reason', 'error_message', 'ledger_sequence', 'transaction_hash',
    'limit_waived', 'updated_at', 'ended_at'
);
CREATE TRIGGER withdrawals_kept BEFORE DELETE OR TRUNCATE ON withdrawals
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER withdrawals_rewound BEFORE UPDATE ON withdrawals
FOR EACH ROW WHEN (
    old.status = 'sending' AND new.status = 'requested'
    AND (old.kind <> 'exit' OR new.amount <> 0 OR new.cut_amount <> 0)
) EXECUTE FUNCTION refuse_change();

CREATE FUNCTION held_of(farmer uuid) RETURNS numeric LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
SELECT
    coalesce((
        SELECT sum(w.amount) FROM withdrawals AS w
        WHERE w.farmer_id = farmer AND w.status IN ('reserved', 'approved', 'sending')
    ), 0) + coalesce((
        SELECT sum(p.stake_amount) FROM plant_transactions AS p
        WHERE p.farmer_id = farmer AND p.status = 'pending'
    ), 0) + coalesce((
        SELECT a.balance FROM money_accounts AS a WHERE a.farmer_id = farmer AND a.kind = 'due'
    ), 0)
$$;
COMMENT ON FUNCTION held_of(uuid) IS
'What of a farmer''s available balance is promised: withdrawals set aside, stakes of pending plants, the pool''s cut';

CREATE INDEX idx_plant_transactions_pending_farmer ON plant_transactions (farmer_id) INCLUDE (stake_amount)
WHERE status = 'pending';

CREATE FUNCTION check_withdrawal_covered() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    available bigint;
    held numeric;
BEGIN
    -- The lock makes a plant of this farmer wait for this transaction, and this one for it.
    SELECT f.balance INTO STRICT available FROM farmers AS f WHERE f.id = NEW.farmer_id FOR NO KEY UPDATE;
    held := held_of(NEW.farmer_id);
    IF NEW.amount > 0 AND NEW.amount > available - held THEN
        RAISE EXCEPTION 'a withdrawal of % is not covered: % available, % of it promised', NEW.amount, available, held
            USING ERRCODE = 'check_violation', CONSTRAINT = 'withdrawals_covered', TABLE = 'withdrawals';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION check_withdrawal_covered() IS
'Refuses to set aside what a farmer has not, has staked, or has promised already';
CREATE TRIGGER withdrawals_covered BEFORE UPDATE ON withdrawals
FOR EACH ROW WHEN (old.status = 'requested' AND new.status = 'reserved')
EXECUTE FUNCTION check_withdrawal_covered();

CREATE FUNCTION check_plants_covered() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM farmers AS f
    WHERE f.id IN (SELECT a.farmer_id FROM added AS a WHERE a.status = 'pending' AND a.stake_amount > 0)
    ORDER BY f.id FOR NO KEY UPDATE;
    -- Where nothing is promised a stake may be of KALE that the ledger shows and the books do not yet.
    IF EXISTS (
        SELECT FROM farmers AS f
        WHERE f.id IN (SELECT a.farmer_id FROM added AS a WHERE a.status = 'pending' AND a.stake_amount > 0)
        AND held_of(f.id) > f.balance
        AND (
            EXISTS (
                SELECT FROM withdrawals AS w
                WHERE w.farmer_id = f.id AND w.status IN ('reserved', 'approved', 'sending') AND w.amount > 0
            )
            OR EXISTS (
                SELECT FROM money_accounts AS a WHERE a.farmer_id = f.id AND a.kind = 'due' AND a.balance > 0
            )
        )
    ) THEN
        RAISE EXCEPTION 'a plant would stake what is set aside for a withdrawal or the pool''s cut'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'plant_transactions_covered', TABLE = 'plant_transactions';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION check_plants_covered() IS 'Refuses plants that stake what is promised';
CREATE TRIGGER plant_transactions_covered AFTER INSERT ON plant_transactions
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_plants_covered();

CREATE FUNCTION check_leaving() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM withdrawals AS w
        WHERE w.farmer_id = NEW.id AND w.kind = 'exit' AND w.status NOT IN ('refused', 'failed')
    ) THEN
        RAISE EXCEPTION 'farmer % is leaving', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'farmers_leaving', TABLE = 'farmers';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION check_leaving() IS 'Refuses to let a farmer farm on who is leaving';
CREATE TRIGGER farmers_leaving BEFORE UPDATE OF status ON farmers
FOR EACH ROW WHEN (new.status = 'active' AND old.status IS DISTINCT FROM 'active')
EXECUTE FUNCTION check_leaving();

CREATE TABLE withdrawal_switches (
    id bigint GENERATED ALWAYS AS IDENTITY,
    paused boolean NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT withdrawal_switches_pkey PRIMARY KEY (id),
    CONSTRAINT withdrawal_switches_reason_given CHECK (reason <> '')
);
COMMENT ON TABLE withdrawal_switches IS 'The switch that stops all withdrawals, as it was turned; the last row counts';
COMMENT ON COLUMN withdrawal_switches.id IS 'Order of turning';
COMMENT ON COLUMN withdrawal_switches.paused IS 'Whether nothing is paid out from then on';
COMMENT ON COLUMN withdrawal_switches.reason IS 'Why, for people';
COMMENT ON COLUMN withdrawal_switches.created_at IS 'When it was turned';

CREATE TABLE payout_addresses (
    id bigint GENERATED ALWAYS AS IDENTITY,
    farmer_id uuid NOT NULL,
    destination text NOT NULL,
    memo text,
    is_locked boolean NOT NULL,
    effective_time bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payout_addresses_pkey PRIMARY KEY (id),
    CONSTRAINT payout_addresses_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT payout_addresses_destination_form CHECK (destination ~ '^[GM][A-Z2-7]{55,68}$'),
    CONSTRAINT payout_addresses_memo_form CHECK (memo ~ '^(text|id|hash|return):')
);
COMMENT ON TABLE payout_addresses IS
'Where farmers want to be paid, as they set it; of those in effect the last one counts';
COMMENT ON COLUMN payout_addresses.id IS 'Order of setting';
COMMENT ON COLUMN payout_addresses.farmer_id IS 'The farmer';
COMMENT ON COLUMN payout_addresses.destination IS 'Who is paid (G... or M...)';
COMMENT ON COLUMN payout_addresses.memo IS 'The memo that the destination asks for, kind and value';
COMMENT ON COLUMN payout_addresses.is_locked IS 'Whether nobody else is paid, and a change waits';
COMMENT ON COLUMN payout_addresses.effective_time IS 'Ledger time from which it counts, Unix seconds';
COMMENT ON COLUMN payout_addresses.created_at IS 'When it was set';
CREATE INDEX idx_payout_addresses_farmer ON payout_addresses (farmer_id, id);

CREATE TRIGGER pool_cuts_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON pool_cuts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER withdrawal_switches_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON withdrawal_switches
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payout_addresses_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_addresses
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE attempts DROP CONSTRAINT attempts_kind_known;
ALTER TABLE attempts ADD CONSTRAINT attempts_kind_known CHECK (
    kind IN ('plant', 'work', 'harvest', 'onboarding', 'channels', 'extension', 'withdrawal')
);
COMMENT ON COLUMN attempts.kind IS
'What it does: plant, work, harvest, onboarding, channels, extension or withdrawal';
COMMENT ON COLUMN attempts.intent_id IS
'What it carries out: the id of a plant, work result, harvest or withdrawal; of the batch for the others';

CREATE FUNCTION check_withdrawal_attempts() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM added WHERE kind = 'withdrawal') THEN
        RETURN NULL;
    END IF;
    IF (SELECT s.paused FROM withdrawal_switches AS s ORDER BY s.id DESC LIMIT 1) THEN
        RAISE EXCEPTION 'withdrawals are paused'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempts_withdrawals_paused', TABLE = 'attempts';
    END IF;
    IF EXISTS (
        SELECT FROM added AS a
        WHERE a.kind = 'withdrawal' AND NOT EXISTS (
            SELECT FROM withdrawals AS w INNER JOIN farmers AS f ON f.id = w.farmer_id
            WHERE w.id = a.intent_id AND w.status = 'sending' AND f.wallet_address = a.source_account
        )
    ) THEN
        RAISE EXCEPTION 'a payment is signed only for an approved withdrawal from its farmer''s account'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'attempts_withdrawal_approved', TABLE = 'attempts';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION check_withdrawal_attempts() IS
'Refuses payments while withdrawals are paused, and those that no approved withdrawal asks for';
CREATE TRIGGER attempts_withdrawals AFTER INSERT ON attempts
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_withdrawal_attempts();

-- The checks so far, under a name of their own, and those of withdrawals.
ALTER FUNCTION ledger_check(timestamptz) RENAME TO farming_check;
COMMENT ON FUNCTION farming_check(timestamptz) IS
'Rows that break a rule of farming and its books: all of them, or those among what was added since a time';

CREATE FUNCTION withdrawal_check(since timestamptz)
RETURNS TABLE (kind text, key text, detail text) LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
SELECT 'withdrawal_unbooked', CAST(w.id AS text),
    format('%s stroops are paid by %s, but not booked', w.amount + w.cut_amount, w.transaction_hash)
FROM withdrawals AS w
WHERE w.status = 'paid' AND w.ended_at >= since AND w.amount + w.cut_amount > 0 AND NOT EXISTS (
    SELECT FROM money_transfers AS t
    WHERE t.transaction_hash = decode(w.transaction_hash, 'hex') AND t.farmer_id = w.farmer_id
    AND t.kind IN ('withdrawal', 'cut_paid', 'outflow')
)

UNION ALL
SELECT 'attempt_without_effect', encode(a.hash, 'hex'),
    format('a withdrawal succeeded in ledger %s, but %s is not paid', a.result_ledger, a.intent_id)
FROM attempts AS a
WHERE a.kind = 'withdrawal' AND a.status = 'succeeded' AND a.ended_at >= since AND NOT EXISTS (
    SELECT FROM withdrawals AS w WHERE w.id = a.intent_id AND w.status = 'paid'
)

UNION ALL
SELECT 'exit_incomplete', CAST(f.id AS text), format('the farmer has left, but is %s', f.status)
FROM withdrawals AS w INNER JOIN farmers AS f ON f.id = w.farmer_id
WHERE w.kind = 'exit' AND w.status = 'paid' AND w.ended_at >= since AND f.status <> 'departed'
$$;
COMMENT ON FUNCTION withdrawal_check(timestamptz) IS
'Rows that break a rule of withdrawals: all of them, or those among what was added since a time';

CREATE FUNCTION ledger_check(since timestamptz DEFAULT '-infinity')
RETURNS TABLE (kind text, key text, detail text) LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
SELECT f.kind, f.key, f.detail FROM farming_check(since) AS f
UNION ALL
SELECT w.kind, w.key, w.detail FROM withdrawal_check(since) AS w
$$;
COMMENT ON FUNCTION ledger_check(timestamptz) IS
'Rows that break a rule of the books: all of them, or those among what was added since a time';

-- From 018_pooler_trust.sql
-- Poolers that are let in by certificates, and reports of theirs that were wrong.

ALTER TABLE poolers ADD COLUMN status text NOT NULL DEFAULT 'open';
ALTER TABLE poolers ADD COLUMN status_reason text NOT NULL DEFAULT '';
ALTER TABLE poolers ADD COLUMN status_changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE poolers ADD CONSTRAINT poolers_status_known CHECK (
    status IN ('open', 'enrolled', 'revoked', 'quarantined')
);
COMMENT ON TABLE poolers IS 'Poolers that have attended or were invited';
COMMENT ON COLUMN poolers.status IS
'open: came without a certificate; enrolled: has one; revoked: by the operator; quarantined: for wrong reports';
COMMENT ON COLUMN poolers.status_reason IS 'Why it is revoked or quarantined; empty if it is not';
COMMENT ON COLUMN poolers.status_changed_at IS 'When the status last changed';

CREATE TABLE pooler_certificates (
    serial text NOT NULL,
    pooler_id text NOT NULL,
    kind text NOT NULL,
    not_after timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT pooler_certificates_pkey PRIMARY KEY (serial),
    CONSTRAINT pooler_certificates_pooler_id_fkey FOREIGN KEY (pooler_id) REFERENCES poolers (pooler_id),
    CONSTRAINT pooler_certificates_serial_form CHECK (serial ~ '^[0-9a-f]{1,40}$'),
    CONSTRAINT pooler_certificates_kind_known CHECK (kind IN ('invitation', 'pooler')),
    CONSTRAINT pooler_certificates_used CHECK (used_at IS NULL OR kind = 'invitation')
);
COMMENT ON TABLE pooler_certificates IS 'Certificates that the pool''s own authority has issued to poolers';
COMMENT ON COLUMN pooler_certificates.serial IS 'Serial number, hexadecimal';
COMMENT ON COLUMN pooler_certificates.pooler_id IS 'The pooler it names';
COMMENT ON COLUMN pooler_certificates.kind IS 'invitation: good to enrol, once; pooler: good to work';
COMMENT ON COLUMN pooler_certificates.not_after IS 'When it ends';
COMMENT ON COLUMN pooler_certificates.created_at IS 'When it was issued';
COMMENT ON COLUMN pooler_certificates.used_at IS 'When an invitation was used up';
COMMENT ON COLUMN pooler_certificates.revoked_at IS 'When it was revoked; null: it was not';

CREATE INDEX idx_pooler_certificates_pooler ON pooler_certificates (pooler_id);

CREATE TRIGGER pooler_certificates_identity BEFORE UPDATE ON pooler_certificates
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('used_at', 'revoked_at');
CREATE TRIGGER pooler_certificates_used_once BEFORE UPDATE ON pooler_certificates
FOR EACH ROW WHEN (old.used_at IS NOT NULL AND old.used_at IS DISTINCT FROM new.used_at)
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pooler_certificates_revoked_once BEFORE UPDATE ON pooler_certificates
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL AND old.revoked_at IS DISTINCT FROM new.revoked_at)
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pooler_certificates_kept BEFORE DELETE OR TRUNCATE ON pooler_certificates
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE wrong_reports (
    report_id text NOT NULL,
    pooler_id text NOT NULL,
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    work_hash text NOT NULL,
    nonce numeric(20, 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT wrong_reports_pkey PRIMARY KEY (pooler_id, report_id),
    CONSTRAINT wrong_reports_block_index_range CHECK (block_index >= 0),
    CONSTRAINT wrong_reports_work_hash_form CHECK (work_hash ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE wrong_reports IS 'Reports whose hash does not compute; nothing else of them was stored';
COMMENT ON COLUMN wrong_reports.report_id IS 'The report''s id';
COMMENT ON COLUMN wrong_reports.pooler_id IS 'Who reported';
COMMENT ON COLUMN wrong_reports.block_index IS 'The block';
COMMENT ON COLUMN wrong_reports.farmer_id IS 'The farmer';
COMMENT ON COLUMN wrong_reports.work_hash IS 'The hash as reported';
COMMENT ON COLUMN wrong_reports.nonce IS 'The nonce as reported';
COMMENT ON COLUMN wrong_reports.created_at IS 'When it was refused';

CREATE INDEX idx_wrong_reports_pooler ON wrong_reports (pooler_id, block_index);

CREATE TRIGGER wrong_reports_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON wrong_reports
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- From 019_what_plans_learn_from.sql
-- What plans of plants learn from: the hash rates of poolers, and what transactions were charged.

ALTER TABLE poolers ADD COLUMN hashes_per_second bigint NOT NULL DEFAULT 0;
ALTER TABLE poolers ADD CONSTRAINT poolers_hashes_per_second_range CHECK (hashes_per_second >= 0);
COMMENT ON COLUMN poolers.hashes_per_second IS
'What it said to search with when it last attended; 0: it measured nothing';

-- The last fees of each kind are asked for before every plant; harvests were indexed by themselves so far.
CREATE INDEX idx_attempts_succeeded ON attempts (kind, result_ledger) INCLUDE (fee_charged) WHERE status = 'succeeded';
DROP INDEX idx_attempts_harvests;

-- From 020_audited_changes.sql
-- Changes of who may do what, and of where money may go, in the audit trail: whoever makes them, by whatever way.

ALTER TABLE block_events ALTER COLUMN block_index DROP NOT NULL;
ALTER TABLE block_events DROP CONSTRAINT block_events_event_type_known;
ALTER TABLE block_events ADD CONSTRAINT block_events_event_type_known CHECK (event_type IN (
    'detected', 'plant_requested', 'planted', 'plant_failed', 'work_complete', 'work_failed', 'harvested',
    'harvest_lost', 'harvest_taken', 'harvest_reopened', 'life_alarm', 'life_extended', 'quarantine_began',
    'quarantine_ended', 'lease_moved', 'token_created', 'token_revoked', 'settings_changed', 'payout_set',
    'withdrawals_paused', 'withdrawals_resumed', 'cut_set', 'limits_set', 'withdrawal_requested', 'withdrawal_moved',
    'pooler_changed', 'certificate_issued', 'certificate_revoked'
));
ALTER TABLE block_events ADD CONSTRAINT block_events_of_block CHECK (
    (block_index IS NULL) = (event_type IN (
        'token_created', 'token_revoked', 'settings_changed', 'payout_set', 'withdrawals_paused',
        'withdrawals_resumed', 'cut_set', 'limits_set', 'withdrawal_requested', 'withdrawal_moved', 'pooler_changed',
        'certificate_issued', 'certificate_revoked'
    ))
);
COMMENT ON TABLE block_events IS
'The audit trail: what happened in each block, and what was changed beside, in order; rows are only ever added';
COMMENT ON COLUMN block_events.block_index IS 'The block it concerns; null for changes that concern none';
COMMENT ON COLUMN block_events.event_type IS
'What happened: block detected; plants, works and harvests requested and ended; lives of pails; quarantines; leases that
went to another pooler. Without a block: tokens and certificates made and revoked; poolers let in and shut out;
farmers'' settings and payout addresses; the switch, the limits and the pool''s cut; withdrawals';
COMMENT ON COLUMN block_events.data IS
'What else is known: ids, amounts, ledgers, transaction hashes, reasons; by: who had it done, where somebody had';
CREATE INDEX idx_block_events_changes ON block_events (id) WHERE block_index IS NULL;
CREATE INDEX idx_block_events_farmer_changes ON block_events (farmer_id, id) WHERE block_index IS NULL;
CREATE INDEX idx_block_events_limits ON block_events (id) WHERE event_type = 'limits_set';

CREATE FUNCTION record_change(what text, farmer uuid, pooler text, details jsonb) RETURNS void LANGUAGE sql
SET search_path = public, pg_temp AS $$
INSERT INTO block_events (event_type, farmer_id, pooler_id, data)
VALUES (
    what, farmer, pooler,
    jsonb_strip_nulls(details || jsonb_build_object('by', nullif(current_setting('kale.actor', TRUE), '')))
)
$$;
COMMENT ON FUNCTION record_change(text, uuid, text, jsonb) IS
'Adds an event without a block; the setting kale.actor says who has it done';

CREATE FUNCTION record_tokens() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change(
        CASE TG_OP WHEN 'INSERT' THEN 'token_created' ELSE 'token_revoked' END, NEW.farmer_id, NULL,
        jsonb_build_object(
            'token_id', NEW.id, 'label', NEW.label, 'scopes', NEW.scopes, 'expires_at', NEW.expires_at
        )
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_tokens() IS 'Records tokens that are made and revoked';
CREATE TRIGGER access_tokens_made_recorded AFTER INSERT ON access_tokens
FOR EACH ROW EXECUTE FUNCTION record_tokens();
CREATE TRIGGER access_tokens_revoked_recorded AFTER UPDATE OF revoked_at ON access_tokens
FOR EACH ROW WHEN (old.revoked_at IS DISTINCT FROM new.revoked_at) EXECUTE FUNCTION record_tokens();

CREATE FUNCTION record_settings() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change('settings_changed', NEW.id, NULL, (
        SELECT jsonb_object_agg(n.key, jsonb_build_array(o.value, n.value))
        FROM jsonb_each(to_jsonb(NEW)) AS n INNER JOIN jsonb_each(to_jsonb(OLD)) AS o ON o.key = n.key
        WHERE n.key IN ('stake_percentage', 'fixed_stake', 'harvest_after_blocks', 'status', 'labels')
        AND n.value IS DISTINCT FROM o.value
    ));
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_settings() IS 'Records each setting of a farmer that changes: what it was, and is';
-- An account that comes to be at the end of its onboarding is no change of a setting.
CREATE TRIGGER farmers_settings_recorded
AFTER UPDATE OF stake_percentage, fixed_stake, harvest_after_blocks, status, labels ON farmers
FOR EACH ROW WHEN (
    old.status <> 'onboarding' AND (
        (old.stake_percentage, old.fixed_stake, old.harvest_after_blocks, old.status, old.labels)
        IS DISTINCT FROM
        (new.stake_percentage, new.fixed_stake, new.harvest_after_blocks, new.status, new.labels)
    )
) EXECUTE FUNCTION record_settings();

CREATE FUNCTION record_payouts() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change(
        'payout_set', NEW.farmer_id, NULL,
        jsonb_build_object(
            'destination', NEW.destination, 'memo', NEW.memo, 'locked', NEW.is_locked,
            'effective_time', NEW.effective_time
        )
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_payouts() IS 'Records where a farmer wants to be paid';
CREATE TRIGGER payout_addresses_recorded AFTER INSERT ON payout_addresses
FOR EACH ROW EXECUTE FUNCTION record_payouts();

CREATE FUNCTION record_switches() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change(
        CASE WHEN NEW.paused THEN 'withdrawals_paused' ELSE 'withdrawals_resumed' END, NULL, NULL,
        jsonb_build_object('reason', NEW.reason)
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_switches() IS 'Records that withdrawals are paused or resumed';
CREATE TRIGGER withdrawal_switches_recorded AFTER INSERT ON withdrawal_switches
FOR EACH ROW EXECUTE FUNCTION record_switches();

CREATE FUNCTION record_cuts() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change(
        'cut_set', NULL, NULL, jsonb_build_object('basis_points', NEW.basis_points, 'from_block', NEW.from_block)
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_cuts() IS 'Records the pool''s cut';
CREATE TRIGGER pool_cuts_recorded AFTER INSERT ON pool_cuts
FOR EACH ROW EXECUTE FUNCTION record_cuts();

CREATE FUNCTION record_withdrawals() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    details jsonb := jsonb_build_object(
        'withdrawal_id', NEW.id, 'kind', NEW.kind, 'amount', NEW.amount, 'cut_amount', NEW.cut_amount,
        'destination', NEW.destination, 'memo', NEW.memo
    );
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_change('withdrawal_requested', NEW.farmer_id, NULL, details);
    ELSE
        PERFORM record_change('withdrawal_moved', NEW.farmer_id, NULL, details || jsonb_build_object(
            'from', OLD.status, 'to', NEW.status, 'transaction_hash', NEW.transaction_hash,
            'ledger_sequence', NEW.ledger_sequence, 'error_reason', NEW.error_reason,
            'error_message', NEW.error_message, 'limit_waived', nullif(NEW.limit_waived, FALSE)
        ));
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_withdrawals() IS 'Records requests, and each step of a withdrawal';
CREATE TRIGGER withdrawals_requested_recorded AFTER INSERT ON withdrawals
FOR EACH ROW EXECUTE FUNCTION record_withdrawals();
CREATE TRIGGER withdrawals_moved_recorded AFTER UPDATE OF status, limit_waived ON withdrawals
FOR EACH ROW WHEN ((old.status, old.limit_waived) IS DISTINCT FROM (new.status, new.limit_waived))
EXECUTE FUNCTION record_withdrawals();

CREATE FUNCTION record_poolers() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change(
        'pooler_changed', NULL, NEW.pooler_id,
        jsonb_build_object('from', OLD.status, 'to', NEW.status, 'reason', nullif(NEW.status_reason, ''))
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_poolers() IS 'Records poolers that are let in or shut out';
CREATE TRIGGER poolers_changed_recorded AFTER UPDATE OF status ON poolers
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION record_poolers();

CREATE FUNCTION record_certificates() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM record_change(
        CASE TG_OP WHEN 'INSERT' THEN 'certificate_issued' ELSE 'certificate_revoked' END, NULL, NEW.pooler_id,
        jsonb_build_object('serial', NEW.serial, 'kind', NEW.kind, 'not_after', NEW.not_after)
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION record_certificates() IS 'Records certificates of poolers that are issued and revoked';
CREATE TRIGGER pooler_certificates_issued_recorded AFTER INSERT ON pooler_certificates
FOR EACH ROW EXECUTE FUNCTION record_certificates();
CREATE TRIGGER pooler_certificates_revoked_recorded AFTER UPDATE OF revoked_at ON pooler_certificates
FOR EACH ROW WHEN (old.revoked_at IS DISTINCT FROM new.revoked_at) EXECUTE FUNCTION record_certificates();

-- From 021_idle_poolers.sql
-- Farmers whose pooler answered, but did not take them, go to others as well.

ALTER TABLE lease_handovers DROP CONSTRAINT lease_handovers_reason_known;
ALTER TABLE lease_handovers ADD CONSTRAINT lease_handovers_reason_known CHECK (
    reason IN ('silent', 'drained', 'excluded', 'idle')
);
COMMENT ON COLUMN lease_handovers.reason IS
'silent: it answered nothing for three ledgers; drained: it said that it stops; excluded: it was revoked or
quarantined; idle: it answered, but did not take the farmer';
