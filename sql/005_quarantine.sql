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
