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
