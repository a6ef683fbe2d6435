"""All versions of the key-encryption key: the newest seals, the others open what they sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.errors import KeyFileError, KeyMissingError
from backend.vault.wrapping import KeyProvider, KeyWrapper


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where one version lies."""

    version: int
    place: str
    current: bool


class KeyRing:
    """Finds key versions in their places. A version is unique over all places.

    Args:
        providers: The places; the first is where new versions are made, unless another is asked for.
    """

    def __init__(self, providers: Sequence[KeyProvider]) -> None:
        self._providers = providers
        self._loaded: dict[int, KeyWrapper] = {}

    def check(self) -> None:
        """Looks for a key without reading any.

        Raises:
            KeyMissingError: there is none at all.
            KeyFileError, KeyDeviceError: a place cannot be looked into.
        """
        if not self._found():
            places = " nor in ".join(provider.name for provider in self._providers)
            raise KeyMissingError(f"no key is in {places}; make it with `kale-backend key create`")

    def current(self) -> tuple[int, KeyWrapper]:
        """The newest version and its key, looked for anew at every call: a rotation takes effect at once.

        Raises:
            KeyMissingError: there is none at all.
            KeyFileError, KeyDeviceError: it cannot be read.
        """
        self.check()
        version = max(self._found())
        return version, self.wrapper(version)

    def wrapper(self, version: int) -> KeyWrapper:
        """The key of a version.

        Raises:
            KeyMissingError: it lies nowhere.
            KeyFileError, KeyDeviceError: it cannot be read.
        """
        loaded = self._loaded.get(version)
        if loaded is None:
            provider = self._found().get(version)
            if provider is None:
                raise KeyMissingError(f"key version {version} is nowhere to be found; restore it from a backup")
            loaded = self._loaded[version] = provider.load(version)
        return loaded

    def places(self) -> Sequence[KeyPlace]:
        """Every version with its place, the oldest first."""
        found = sorted(self._found().items())
        return [KeyPlace(version, provider.name, version == found[-1][0]) for version, provider in found]

    def create_first(self) -> str:
        """Makes version 1 in the first place, and returns that place's name.

        Raises:
            KeyFileError: there are keys already.
            KeyDeviceError: it cannot be made.
        """
        if self._found():
            raise KeyFileError("there are keys already; `kale-backend keys rotate` makes another version")
        self.create()
        return self._providers[0].name

    def create(self, kind: str | None = None) -> int:
        """Makes the next version; from now on it seals. Returns the version.

        Args:
            kind: The kind of place to make it in; the first place if None.

        Raises:
            KeyMissingError: there is no place of this kind.
            KeyFileError, KeyDeviceError: it cannot be made.
        """
        fitting = [provider for provider in self._providers if kind in {None, provider.kind}]
        if not fitting:
            raise KeyMissingError(f"no place of the kind {kind} is set; a device needs PKCS11_MODULE")
        version = max(self._found(), default=0) + 1
        fitting[0].create(version)
        return version

    def _found(self) -> Mapping[int, KeyProvider]:
        found: dict[int, KeyProvider] = {}
        for provider in self._providers:
            for version in provider.versions():
                if version in found:
                    raise KeyFileError(f"key version {version} is in {found[version].name} and in {provider.name} too")
                found[version] = provider
        return found

    def __repr__(self) -> str:
        return "KeyRing()"
