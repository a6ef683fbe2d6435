"""Keys that are the same on every start, derived from the network's passphrase."""

import hashlib

from stellar_sdk import Keypair


def root_keypair(passphrase: str) -> Keypair:
    """The account that holds all XLM at genesis: its seed is the network's id, as in Stellar Core."""
    return Keypair.from_raw_ed25519_seed(hashlib.sha256(passphrase.encode()).digest())


def named_keypair(passphrase: str, name: str) -> Keypair:
    """The key of the account called `name` on the network of this passphrase.

    Anybody can derive it: it is for a local ledger and for nothing else.
    """
    return Keypair.from_raw_ed25519_seed(hashlib.sha256(f"{passphrase}/{name}".encode()).digest())
