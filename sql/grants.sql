-- What the application's role may do, applied at the end of every `kale-backend migrate`. A table or column that is not
-- named here is closed to it: it owns nothing, deletes nothing, and changes only the columns that move.

REVOKE CREATE ON SCHEMA public FROM public;
GRANT USAGE ON SCHEMA public TO kale_application;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM kale_application;
-- A temporary table could stand in for one of ours.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM public', current_database());
END;
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO kale_application;

GRANT INSERT (
    id, wallet_address, public_key, sealed_seed, key_version, stake_percentage, harvest_after_blocks, request_id
) ON farmers TO kale_application;
GRANT UPDATE (
    stake_percentage, fixed_stake, harvest_after_blocks, status, labels, onboarding_batch, last_planted_block
) ON farmers TO kale_application;

-- Neither its place nor its time can be chosen.
GRANT INSERT (block_index, event_type, farmer_id, pooler_id, data) ON block_events TO kale_application;
-- The chain over them grows by this function alone.
REVOKE ALL ON FUNCTION seal_block_events(integer) FROM public;
GRANT EXECUTE ON FUNCTION seal_block_events(integer) TO kale_application;

-- To lock a row takes the right to update one of its columns; a trigger refuses every update.
GRANT INSERT ON plant_requests TO kale_application;
GRANT UPDATE (created_at) ON plant_requests TO kale_application;

GRANT INSERT ON plant_transactions TO kale_application;
GRANT UPDATE (
    transaction_hash, status, error_reason, error_message, ledger_sequence, confirmed_at
) ON plant_transactions TO kale_application;

GRANT INSERT ON plant_request_plants TO kale_application;
GRANT UPDATE (number) ON plant_request_plants TO kale_application;

GRANT INSERT ON work_results TO kale_application;
GRANT UPDATE (
    report_id, work_hash, nonce, zeros, gap, transaction_hash, ledger_sequence, status, error_reason, error_message,
    completed_at
) ON work_results TO kale_application;

GRANT INSERT (
    block_index, farmer_id, wallet_address, stake_amount, planted_ledger, live_until
) ON harvest_transactions TO kale_application;
GRANT UPDATE (
    reward_amount, live_until, transaction_hash, ledger_sequence, status, error_reason, error_message, confirmed_at,
    alarm_percent
) ON harvest_transactions TO kale_application;

GRANT INSERT (
    hash, inner_hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, created_ledger, fence,
    max_fee
) ON attempts TO kale_application;
GRANT UPDATE (status, result_code, result_ledger, result_hash, fee_charged, ended_at) ON attempts TO kale_application;

GRANT INSERT (
    hash, attempt_hash, number, envelope, max_fee, created_ledger, fence
) ON attempt_bumps TO kale_application;

GRANT UPDATE (fence, epoch, holder, taken_at, system_identifier, timeline) ON lease TO kale_application;

GRANT INSERT (epoch, reason, known_ledger) ON quarantines TO kale_application;
GRANT UPDATE (began_ledger, until_ledger, ended_at, ended_ledger) ON quarantines TO kale_application;

GRANT INSERT (subject, row_id, block_index, farmer_id, reason, cause, owner) ON attributions TO kale_application;

-- Balances follow the postings by a trigger of the owner's.
GRANT INSERT (
    kind, effect, transaction_hash, farmer_id, block_index, ledger_sequence, reason, counterparty, memo
) ON money_transfers TO kale_application;
GRANT INSERT ON money_postings TO kale_application;
GRANT UPDATE (ledger_sequence, unread_from, equal_at) ON chain_cursor TO kale_application;

GRANT INSERT (digest, label, farmer_id, scopes, expires_at) ON access_tokens TO kale_application;
GRANT UPDATE (revoked_at) ON access_tokens TO kale_application;

GRANT INSERT (pooler_id, attended_ledger, hashes_per_second) ON poolers TO kale_application;
GRANT UPDATE (attended_ledger, hashes_per_second) ON poolers TO kale_application;
GRANT INSERT (
    block_index, farmer_id, generation, pooler_id, taken_from, reason, ledger_sequence
) ON lease_handovers TO kale_application;

GRANT INSERT (basis_points, from_block) ON pool_cuts TO kale_application;
GRANT INSERT (paused, reason) ON withdrawal_switches TO kale_application;
GRANT INSERT (farmer_id, destination, memo, is_locked, effective_time) ON payout_addresses TO kale_application;
GRANT INSERT (
    id, farmer_id, kind, idempotency_key, destination, memo, amount, created_ledger, requested_time
) ON withdrawals TO kale_application;
GRANT UPDATE (
    amount, cut_amount, status, error_reason, error_message, ledger_sequence, transaction_hash, limit_waived, ended_at
) ON withdrawals TO kale_application;

GRANT UPDATE (status, status_reason, status_changed_at) ON poolers TO kale_application;
GRANT INSERT (serial, pooler_id, kind, not_after) ON pooler_certificates TO kale_application;
GRANT UPDATE (used_at, revoked_at) ON pooler_certificates TO kale_application;
GRANT INSERT (
    report_id, pooler_id, block_index, farmer_id, work_hash, nonce
) ON wrong_reports TO kale_application;
