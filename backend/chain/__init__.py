"""The ledger through kale_chain: reading, following, building and sending."""
