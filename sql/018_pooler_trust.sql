-- Poolers that are let in by certificates, and reports of theirs that were wrong.

ALTER TABLE poolers ADD COLUMN status text NOT NULL DEFAULT 'open';
ALTER TABLE poolers ADD COLUMN status_reason text NOT NULL DEFAULT '';
ALTER TABLE poolers ADD COLUMN status_changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE poolers ADD CONSTRAINT poolers_status_known CHECK (
    status IN ('open', 'enrolled', 'revoked', 'quarantined')
);
COMMENT ON TABLE poolers IS 'Poolers that have attended or were invited';
COMMENT ON COLUMN poolers.status IS
'open: came without a certificate; enrolled: has one; revoked: by the operator; quarantined: for wrong reports';
COMMENT ON COLUMN poolers.status_reason IS 'Why it is revoked or quarantined; empty if it is not';
COMMENT ON COLUMN poolers.status_changed_at IS 'When the status last changed';

CREATE TABLE pooler_certificates (
    serial text NOT NULL,
    pooler_id text NOT NULL,
    kind text NOT NULL,
    not_after timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT pooler_certificates_pkey PRIMARY KEY (serial),
    CONSTRAINT pooler_certificates_pooler_id_fkey FOREIGN KEY (pooler_id) REFERENCES poolers (pooler_id),
    CONSTRAINT pooler_certificates_serial_form CHECK (serial ~ '^[0-9a-f]{1,40}$'),
    CONSTRAINT pooler_certificates_kind_known CHECK (kind IN ('invitation', 'pooler')),
    CONSTRAINT pooler_certificates_used CHECK (used_at IS NULL OR kind = 'invitation')
);
COMMENT ON TABLE pooler_certificates IS 'Certificates that the pool''s own authority has issued to poolers';
COMMENT ON COLUMN pooler_certificates.serial IS 'Serial number, hexadecimal';
COMMENT ON COLUMN pooler_certificates.pooler_id IS 'The pooler it names';
COMMENT ON COLUMN pooler_certificates.kind IS 'invitation: good to enrol, once; pooler: good to work';
COMMENT ON COLUMN pooler_certificates.not_after IS 'When it ends';
COMMENT ON COLUMN pooler_certificates.created_at IS 'When it was issued';
COMMENT ON COLUMN pooler_certificates.used_at IS 'When an invitation was used up';
COMMENT ON COLUMN pooler_certificates.revoked_at IS 'When it was revoked; null: it was not';

CREATE INDEX idx_pooler_certificates_pooler ON pooler_certificates (pooler_id);

CREATE TRIGGER pooler_certificates_identity BEFORE UPDATE ON pooler_certificates
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('used_at', 'revoked_at');
CREATE TRIGGER pooler_certificates_used_once BEFORE UPDATE ON pooler_certificates
FOR EACH ROW WHEN (old.used_at IS NOT NULL AND old.used_at IS DISTINCT FROM new.used_at)
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pooler_certificates_revoked_once BEFORE UPDATE ON pooler_certificates
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL AND old.revoked_at IS DISTINCT FROM new.revoked_at)
EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pooler_certificates_kept BEFORE DELETE OR TRUNCATE ON pooler_certificates
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE wrong_reports (
    report_id text NOT NULL,
    pooler_id text NOT NULL,
    block_index bigint NOT NULL,
    farmer_id uuid NOT NULL,
    work_hash text NOT NULL,
    nonce numeric(20, 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT wrong_reports_pkey PRIMARY KEY (pooler_id, report_id),
    CONSTRAINT wrong_reports_block_index_range CHECK (block_index >= 0),
    CONSTRAINT wrong_reports_work_hash_form CHECK (work_hash ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE wrong_reports IS 'Reports whose hash does not compute; nothing else of them was stored';
COMMENT ON COLUMN wrong_reports.report_id IS 'The report''s id';
COMMENT ON COLUMN wrong_reports.pooler_id IS 'Who reported';
COMMENT ON COLUMN wrong_reports.block_index IS 'The block';
COMMENT ON COLUMN wrong_reports.farmer_id IS 'The farmer';
COMMENT ON COLUMN wrong_reports.work_hash IS 'The hash as reported';
COMMENT ON COLUMN wrong_reports.nonce IS 'The nonce as reported';
COMMENT ON COLUMN wrong_reports.created_at IS 'When it was refused';

CREATE INDEX idx_wrong_reports_pooler ON wrong_reports (pooler_id, block_index);

CREATE TRIGGER wrong_reports_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON wrong_reports
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
