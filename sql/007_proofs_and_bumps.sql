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
