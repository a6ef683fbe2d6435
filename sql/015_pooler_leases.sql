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
