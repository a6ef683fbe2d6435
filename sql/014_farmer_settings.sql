-- A stake that is fixed instead of a part of the balance, and labels of farmers.

ALTER TABLE farmers ADD COLUMN fixed_stake bigint;
ALTER TABLE farmers ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
ALTER TABLE farmers ADD CONSTRAINT farmers_fixed_stake_range CHECK (fixed_stake >= 0);
ALTER TABLE farmers ADD CONSTRAINT farmers_labels_form CHECK (
    jsonb_typeof(labels) = 'object' AND octet_length(labels::text) <= 8192
);
COMMENT ON COLUMN farmers.fixed_stake IS
'Staked in each block, or the whole balance where that is less; null: stake_percentage of the balance is';
COMMENT ON COLUMN farmers.labels IS 'Names and values that the operator gave the farmer';

DROP TRIGGER farmers_identity ON farmers;
CREATE TRIGGER farmers_identity BEFORE UPDATE ON farmers
FOR EACH ROW EXECUTE FUNCTION refuse_other_columns(
    'balance', 'stake_percentage', 'fixed_stake', 'harvest_after_blocks', 'earned_balance', 'status', 'labels',
    'onboarding_batch', 'last_planted_block', 'updated_at'
);
