"""The key-encryption keys that the settings lead to."""

from backend.config import KeySettings
from backend.vault.file_keys import FileKeys
from backend.vault.key_ring import KeyRing
from backend.vault.wrapping import KeyProvider
from kale_common.errors import ConfigError


def key_ring(settings: KeySettings) -> KeyRing:
    """Every version of the key-encryption key, in every place; the device makes new ones where there is one.

    Raises:
        ConfigError: the settings of the device are incomplete.
    """
    files = FileKeys(settings.key_file)
    return KeyRing([files] if settings.pkcs11_module is None else [device(settings), files])


def device(settings: KeySettings) -> KeyProvider:
    """The keys in the PKCS#11 device.

    Raises:
        ConfigError: its settings are incomplete.
    """
    # Only who has a device needs the library that talks to it.
    from backend.vault.pkcs11_keys import Pkcs11Keys  # noqa: PLC0415

    if settings.pkcs11_module is None or settings.pkcs11_token is None:
        raise ConfigError("PKCS11_TOKEN", "is not set: give the token's label")
    return Pkcs11Keys(settings.pkcs11_module, settings.pkcs11_token, settings.pin(), settings.pkcs11_key_label)
