"""The vault: farmers' seeds, sealed under the key in KEY_FILE, and the record of the database's head beside it."""

from backend.vault.file_vault import FileVault
from backend.vault.head_file import HeadFile
from backend.vault.key_file import create_key_file, read_key_file

__all__ = ["FileVault", "HeadFile", "create_key_file", "read_key_file"]
