-- Farmers whose pooler answered, but did not take them, go to others as well.

ALTER TABLE lease_handovers DROP CONSTRAINT lease_handovers_reason_known;
ALTER TABLE lease_handovers ADD CONSTRAINT lease_handovers_reason_known CHECK (
    reason IN ('silent', 'drained', 'excluded', 'idle')
);
COMMENT ON COLUMN lease_handovers.reason IS
'silent: it answered nothing for three ledgers; drained: it said that it stops; excluded: it was revoked or
quarantined; idle: it answered, but did not take the farmer';
