-- Who paid a deposit and who got an outflow, as the transaction says.

ALTER TABLE money_transfers ADD COLUMN counterparty text;
ALTER TABLE money_transfers ADD COLUMN memo text;
COMMENT ON COLUMN money_transfers.counterparty IS
'Of a deposit the sender, of a payment out the receiver (G..., M... or C...); null where the transaction names none';
COMMENT ON COLUMN money_transfers.memo IS 'The memo of a payment, kind and value such as text:hello; null: it has none';
ALTER TABLE money_transfers ADD CONSTRAINT money_transfers_counterparty_form CHECK (
    counterparty ~ '^[GMC][A-Z2-7]{55,68}$'
);
ALTER TABLE money_transfers ADD CONSTRAINT money_transfers_memo_form CHECK (memo ~ '^(text|id|hash|return):');

CREATE INDEX idx_money_transfers_deposits ON money_transfers (farmer_id, id) WHERE kind = 'deposit';
