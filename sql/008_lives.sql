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
