"""The ledger's bytes and what they mean: keys of entries, entries, results of transactions.

Everything the project knows of XDR and stellar_sdk's types is here, in `kale_chain.tx` and in `kale_chain.rpc`.
"""
