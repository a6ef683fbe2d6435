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
