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
