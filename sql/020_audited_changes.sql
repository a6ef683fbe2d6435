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
