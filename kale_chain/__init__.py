"""The KALE farm contract and the Stellar ledger as both services know them; neither service.

`model`, `rewards`, `hashing` and `farm_model` are pure arithmetic; `xdr` and `tx` turn it into the ledger's bytes and
back; `rpc`, `farm`, `identify` and `follower` read and write the ledger. No task is started and nothing is logged here.
"""
