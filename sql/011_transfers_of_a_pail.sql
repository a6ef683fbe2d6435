-- What is booked of a pail is counted at every booking; without an index that reads all transfers there ever were.
CREATE INDEX idx_money_transfers_of_pail ON money_transfers (farmer_id, block_index);
DROP INDEX idx_money_transfers_closing;
