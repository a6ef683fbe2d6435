"""The demonstration: the whole pool, from real parts, on the local ledger (`python -m devnet.demo`)."""
