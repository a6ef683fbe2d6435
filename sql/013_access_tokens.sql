-- Tokens of farmers, operators and poolers.

CREATE TABLE access_tokens (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    digest bytea NOT NULL,
    label text NOT NULL,
    farmer_id uuid,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT access_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT access_tokens_digest_key UNIQUE (digest),
    CONSTRAINT access_tokens_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT access_tokens_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT access_tokens_label_length CHECK (char_length(label) BETWEEN 1 AND 100),
    CONSTRAINT access_tokens_scopes_known CHECK (
        cardinality(scopes) > 0
        AND scopes <@ ARRAY['pool', 'read', 'settings', 'money', 'operate', 'status']
    ),
    CONSTRAINT access_tokens_farmer_scopes CHECK (
        farmer_id IS NULL OR NOT scopes && ARRAY['pool', 'operate']
    ),
    CONSTRAINT access_tokens_expires_later CHECK (expires_at > created_at)
);
COMMENT ON TABLE access_tokens IS
'Who may call what; the token itself is shown once and never stored. Rows are kept, revoked or not';
COMMENT ON COLUMN access_tokens.id IS 'Names the token in lists and logs';
COMMENT ON COLUMN access_tokens.digest IS 'SHA-256 of the token';
COMMENT ON COLUMN access_tokens.label IS 'What it is for, in the operator''s words';
COMMENT ON COLUMN access_tokens.farmer_id IS 'The only farmer it reaches; null: all of them';
COMMENT ON COLUMN access_tokens.scopes IS
'What it may do. pool: plant and report; read, settings, money: see farmers, change their settings, move their funds;
operate: create and list farmers; status: see the service''s status';
COMMENT ON COLUMN access_tokens.created_at IS 'When it was made';
COMMENT ON COLUMN access_tokens.expires_at IS 'When it ends by itself';
COMMENT ON COLUMN access_tokens.revoked_at IS 'When it was revoked; null: it was not';

CREATE INDEX idx_access_tokens_farmer ON access_tokens (farmer_id) WHERE farmer_id IS NOT NULL;

CREATE TRIGGER access_tokens_identity BEFORE UPDATE ON access_tokens
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns('revoked_at');
CREATE TRIGGER access_tokens_revoked_for_good BEFORE UPDATE ON access_tokens
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER access_tokens_kept BEFORE DELETE OR TRUNCATE ON access_tokens
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
