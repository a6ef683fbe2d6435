"""The key-encryption keys that the settings lead to."""

from backend.config import KeySettings
from backend.vault.file_keys import FileKeys
from backend.vault.key_ring import KeyRing


def key_ring(settings: KeySettings) -> KeyRing:
    """Every version of the key-encryption key, in every place."""
    return KeyRing([FileKeys(settings.key_file)])
