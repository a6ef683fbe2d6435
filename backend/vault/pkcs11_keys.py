"""Key-encryption keys in a PKCS#11 device, such as an HSM, which never gives them away.

They are AES-256 keys with the labels "<label>-<version>". A data key is wrapped by C_Encrypt with AES-GCM: C_WrapKey
could not bind it to its farmer. Source: PKCS #11 v2.40, CKM_AES_GCM; python-pkcs11.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11 import exceptions as faults

from backend.errors import KeyDeviceError
from backend.vault.wrapping import KEY_ID_BYTES, WRAPPED_BYTES, CannotOpenError

_KEY_BITS = 256
_NONCE_BYTES = 12
_TEMPLATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
}
# What devices say of a ciphertext that does not authenticate; SoftHSM says the first.
_NOT_AUTHENTIC = (faults.GeneralError, faults.EncryptedDataInvalid, faults.EncryptedDataLenRange)


class Pkcs11Keys:
    """A KeyProvider over one token. A session that broke is opened again at the next use.

    Args:
        module: The device's PKCS#11 library.
        token: The token's label.
        pin: Its user PIN.
        label: What keys' labels begin with.
    """

    kind = "pkcs11"

    def __init__(self, module: Path, token: str, pin: str, label: str) -> None:
        self._module = module
        self._token = token
        self._pin = pin
        self._label = label
        self._session: Any = None
        self._keys: dict[int, Any] = {}

    @property
    def name(self) -> str:
        """See KeyProvider."""
        return f"PKCS#11 token {self._token}"

    def versions(self) -> Collection[int]:
        """See KeyProvider."""
        pattern = re.compile(re.escape(self._label) + "-([1-9][0-9]*)")
        with self.translated():
            labels = [key.label for key in self._opened().get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})]
        return sorted(int(match[1]) for match in map(pattern.fullmatch, labels) if match)

    def load(self, version: int) -> Pkcs11Key:
        """See KeyProvider."""
        with self.translated():
            key_id = bytes(self.key(version).id)
        if len(key_id) != KEY_ID_BYTES:
            raise KeyDeviceError(f"key {self._label}-{version} of {self.name} was not made by `kale-backend keys`")
        return Pkcs11Key(self, version, key_id)

    def create(self, version: int) -> None:
        """See KeyProvider."""
        with self.translated():
            self._opened().generate_key(
                KeyType.AES,
                _KEY_BITS,
                id=os.urandom(KEY_ID_BYTES),
                label=f"{self._label}-{version}",
                store=True,
                template=_TEMPLATE,
            )

    def key(self, version: int) -> Any:
        """The device's handle of a key, in the present session. Raises what PKCS#11 raises."""
        if version not in self._keys or self._session is None:
            self._keys[version] = self._opened().get_key(
                object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=f"{self._label}-{version}"
            )
        return self._keys[version]

    def _opened(self) -> Any:
        if self._session is None:
            self._keys.clear()
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            try:
                self._session = token.open(rw=True, user_pin=self._pin)
            except faults.UserAlreadyLoggedIn:
                # A process logs in once, whatever becomes of its sessions.
                self._session = token.open(rw=True)
        return self._session

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raises KeyDeviceError for what the device raises, and begins anew with it at the next use."""
        try:
            yield
        except pkcs11.PKCS11Error as error:
            self._session = None
            what = f"{type(error).__name__} {error}".strip()
            raise KeyDeviceError(f"{self.name}, module {self._module}: {what}") from None

    def __repr__(self) -> str:
        return f"Pkcs11Keys({self._token})"


class Pkcs11Key:
    """A KeyWrapper whose key stays in the device. The data key passes through Python's memory, which is not wiped."""

    def __init__(self, keys: Pkcs11Keys, version: int, key_id: bytes) -> None:
        self._keys = keys
        self._version = version
        self._key_id = key_id

    @property
    def key_id(self) -> bytes:
        """See KeyWrapper."""
        return self._key_id

    def wrap(self, data_key: bytearray, context: bytes) -> bytes:
        """See KeyWrapper."""
        nonce = os.urandom(_NONCE_BYTES)
        with self._keys.translated():
            key = self._keys.key(self._version)
            sealed = key.encrypt(
                bytes(data_key), mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, context)
            )
        return nonce + bytes(sealed)

    def unwrap_into(self, data_key: bytearray, wrapped: bytes, context: bytes) -> None:
        """See KeyWrapper."""
        if len(wrapped) != WRAPPED_BYTES:
            raise CannotOpenError("its wrapped data key has another length than one")
        parameters = GCMParams(wrapped[:_NONCE_BYTES], context)
        with self._keys.translated():
            key = self._keys.key(self._version)
            try:
                opened = key.decrypt(wrapped[_NONCE_BYTES:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
            except _NOT_AUTHENTIC:
                raise CannotOpenError("it belongs to another farmer or network, or was tampered with") from None
        data_key[:] = opened

    def __repr__(self) -> str:
        return f"Pkcs11Key({self._version})"
