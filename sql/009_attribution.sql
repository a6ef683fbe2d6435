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
