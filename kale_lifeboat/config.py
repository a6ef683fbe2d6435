"""The lifeboat's settings: environment variables, then a `.env` file; and the list of farmers."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from kale_chain.errors import InvalidAddressError, InvalidSecretError
from kale_chain.tx import Signer
from kale_chain.xdr import keys
from kale_common.errors import ConfigError
from kale_common.settings import ServiceSettings, secret_from
from kale_lifeboat.errors import FarmersError

FEE_ACCOUNT = "FEE_ACCOUNT_SECRET"
_MOST_SHOWN = 10


class LifeboatSettings(ServiceSettings):
    """Settings of the lifeboat, beside network, farm and RPC as every service has them.

    Attributes:
        fee_account_secret: Secret key (S…) of an account that pays the fees; any account with some XLM.
        fee_account_secret_file: A file that holds it instead, readable by its owner only.
        channels: Accounts to send from at the same time, made from the fee account, 1 XLM each; 0: none but itself.
        max_inclusion_fee: Most stroops to offer for being included in a ledger.
    """

    fee_account_secret: SecretStr | None = None
    fee_account_secret_file: Path | None = None
    channels: Annotated[int, Field(ge=0, le=100)] = 20
    max_inclusion_fee: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000

    def payer(self) -> Signer:
        """The fee account's signer.

        Raises:
            ConfigError: Its secret is missing, unreadable or malformed.
        """
        secret = secret_from(FEE_ACCOUNT, self.fee_account_secret, self.fee_account_secret_file)
        if secret is None:
            raise ConfigError(FEE_ACCOUNT, f"is not set; set it or {FEE_ACCOUNT}_FILE")
        try:
            return Signer.from_secret(secret.get_secret_value())
        except InvalidSecretError as error:
            raise ConfigError(FEE_ACCOUNT, str(error)) from None


def read_farmers(given: Sequence[str], file: Path | None) -> list[str]:
    """Farmers' addresses from the command line and from a file, each once.

    Args:
        given: Addresses.
        file: One address a line; empty lines and what follows a `#` are passed over; `-` is standard input.

    Raises:
        FarmersError: The file cannot be read, there is no address, or a text is none.
    """
    lines = [*given, *(_lines(file) if file is not None else ())]
    texts = [text for line in lines if (text := line.partition("#")[0].strip())]
    wrong = [problem for text in texts if (problem := _problem(text))]
    if wrong:
        rest = f" and {len(wrong) - _MOST_SHOWN} more" if len(wrong) > _MOST_SHOWN else ""
        raise FarmersError("; ".join(wrong[:_MOST_SHOWN]) + rest)
    if not texts:
        raise FarmersError("no farmer is given: name addresses (G…), or a file of them with --farmers-file")
    return list(dict.fromkeys(texts))


def _lines(file: Path) -> Iterable[str]:
    if str(file) == "-":
        return sys.stdin.read().splitlines()
    try:
        return file.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise FarmersError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FarmersError(f"{file} is not a list of addresses") from error


def _problem(text: str) -> str | None:
    try:
        keys.account_id(text)
    except InvalidAddressError as error:
        return str(error)
    return None
