-- A rotation of the key-encryption key seals every farmer's seed anew: by the tables' owner alone, never to an older
-- version, only where it says so (a statement by mistake is refused), and each change leaves a row behind.

DROP TRIGGER farmers_identity ON farmers;
CREATE TRIGGER farmers_identity BEFORE UPDATE ON farmers
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'balance', 'stake_percentage', 'fixed_stake', 'harvest_after_blocks', 'earned_balance', 'status', 'labels',
    'onboarding_batch', 'last_planted_block', 'updated_at', 'sealed_seed', 'key_version'
);

CREATE TABLE seed_rewraps (
    id bigint GENERATED ALWAYS AS IDENTITY,
    farmer_id uuid NOT NULL,
    old_key_version integer NOT NULL,
    new_key_version integer NOT NULL,
    rewrapped_by text NOT NULL DEFAULT session_user,
    rewrapped_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seed_rewraps_pkey PRIMARY KEY (id),
    CONSTRAINT seed_rewraps_farmer_id_fkey FOREIGN KEY (farmer_id) REFERENCES farmers (id),
    CONSTRAINT seed_rewraps_never_older CHECK (new_key_version >= old_key_version)
);
COMMENT ON TABLE seed_rewraps IS 'Each time a farmer''s seed was sealed anew, by a trigger; rows are only added';
COMMENT ON COLUMN seed_rewraps.id IS 'Order of the changes';
COMMENT ON COLUMN seed_rewraps.farmer_id IS 'The farmer';
COMMENT ON COLUMN seed_rewraps.old_key_version IS 'Version of the key that had sealed the seed';
COMMENT ON COLUMN seed_rewraps.new_key_version IS 'Version of the key that seals it now';
COMMENT ON COLUMN seed_rewraps.rewrapped_by IS 'The role that was connected';
COMMENT ON COLUMN seed_rewraps.rewrapped_at IS 'When';

CREATE TRIGGER seed_rewraps_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON seed_rewraps
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION record_seed_rewrap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('kale_pool.rewrapping', true), '') <> 'on' THEN
        RAISE EXCEPTION 'the sealed seed of farmer % is changed by `kale-backend keys rotate` alone', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.sealed_seed IS NULL OR OLD.sealed_seed IS NULL THEN
        RAISE EXCEPTION 'the seed of farmer % can be sealed anew, not given or taken away', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO seed_rewraps (farmer_id, old_key_version, new_key_version)
    VALUES (OLD.id, OLD.key_version, NEW.key_version);
    RETURN NULL;
END;
$$;
CREATE TRIGGER farmers_seed_rewrapped AFTER UPDATE OF sealed_seed, key_version ON farmers
FOR EACH ROW WHEN (old.sealed_seed IS DISTINCT FROM new.sealed_seed OR old.key_version IS DISTINCT FROM new.key_version)
EXECUTE FUNCTION record_seed_rewrap();
