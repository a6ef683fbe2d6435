"""The vault: farmers' seeds, sealed under key-encryption keys, and the record of the database's head beside them."""

from backend.vault.file_keys import FileKeys
from backend.vault.head_file import HeadFile
from backend.vault.key_file import create_key_file
from backend.vault.key_ring import KeyPlace, KeyRing
from backend.vault.local_vault import LocalVault
from backend.vault.seeds import Seeds

__all__ = ["FileKeys", "HeadFile", "KeyPlace", "KeyRing", "LocalVault", "Seeds", "create_key_file"]
