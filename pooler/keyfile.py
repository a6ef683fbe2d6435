"""Making the fee account's key file."""

import os
from pathlib import Path

from kale_chain.tx import Signer
from kale_common.errors import ConfigError


def create_key_file(file: Path) -> Signer:
    """Writes a new secret key to `file`, readable by its owner alone, and returns its signer. Never overwrites.

    Raises:
        ConfigError: If the file exists already or cannot be written.
    """
    signer = Signer.generate()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(f"{signer.secret}\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise ConfigError("FEE_ACCOUNT_SECRET_FILE", f"cannot create {file}: {error.strerror}") from error
    return signer
