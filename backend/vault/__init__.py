"""The vault: farmers' seeds, sealed under the key in KEY_FILE."""

from backend.vault.file_vault import FileVault
from backend.vault.key_file import create_key_file

__all__ = ["FileVault", "create_key_file"]
