"""The settings both services share, and how settings are read: from the environment, then from a `.env` file.

A setting's environment variable is its name in capitals.
"""

import ipaddress
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kale_chain.identify import KNOWN_FARMS, MAINNET_PASSPHRASE, TESTNET_PASSPHRASE
from kale_common.errors import ConfigError

NETWORKS: dict[str, dict[str, str]] = {
    "mainnet": {
        "stellar_network_passphrase": MAINNET_PASSPHRASE,
        "kale_contract_id": KNOWN_FARMS[MAINNET_PASSPHRASE],
    },
    "testnet": {
        "stellar_network_passphrase": TESTNET_PASSPHRASE,
        "kale_contract_id": KNOWN_FARMS[TESTNET_PASSPHRASE],
        "stellar_rpc_url": "https://soroban-testnet.stellar.org",
    },
    "local": {},
}
"""What the choice of a network sets by default; there is no public RPC for mainnet."""

S = TypeVar("S", bound=BaseSettings)


def _ip_address(address: str) -> str:
    """Accepts IP addresses, and `localhost`."""
    if address == "localhost":
        return "127.0.0.1"
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise ValueError(f"{address!r} is not an IP address; use 127.0.0.1") from error
    return address


def is_loopback(address: str) -> bool:
    """Whether an IP address is reached from this machine only."""
    return ipaddress.ip_address(address).is_loopback


def _loopback(address: str) -> str:
    """Accepts addresses of this machine only."""
    address = _ip_address(address)
    if not is_loopback(address):
        raise ValueError(
            f"{address} is not a loopback address; without TLS and authentication the listeners stay on this "
            "machine, use 127.0.0.1"
        )
    return address


def _http_url(url: str) -> str:
    """Accepts `http(s)://host[:port][/path]`; never repeats the value, which may hold a key."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("is not a URL; write http://host:port or https://host:port") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("is not a URL of a service; write http://host:port or https://host:port")
    return url


def _http_urls(urls: str) -> str:
    """Accepts one such URL or several, separated by commas; spaces around them are dropped."""
    parts = [part.strip() for part in urls.split(",")]
    if len(set(parts)) < len(parts):
        raise ValueError("names a URL twice; endpoints that vote must be different ones")
    return ",".join(_http_url(part) for part in parts)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpUrls = Annotated[str, AfterValidator(_http_urls)]
IpAddress = Annotated[str, AfterValidator(_ip_address)]
LoopbackAddress = Annotated[str, AfterValidator(_loopback)]
Port = Annotated[int, Field(ge=0, le=65535)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
Network = Annotated[Literal["mainnet", "testnet", "local"], BeforeValidator(_lower)]


class SharedSettings(BaseSettings):
    """How every set of settings is read: unknown names are others' business, an empty value is none."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    def secrets(self) -> list[str]:
        """Texts that must never be logged."""
        return []


class NetworkSettings(SharedSettings):
    """Which network and which farm.

    Attributes:
        stellar_network: mainnet, testnet, or local for any other network.
        stellar_network_passphrase: The network's passphrase; has a default except for local.
        kale_contract_id: The farm contract's id; has a default except for local.
    """

    stellar_network: Network = "testnet"
    stellar_network_passphrase: Annotated[str, Field(min_length=1)]
    kale_contract_id: Annotated[str, Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_network(cls, values: dict[str, Any]) -> dict[str, Any]:
        network = _lower(values.get("stellar_network", "testnet"))
        return {**NETWORKS.get(network, {}), **values} if isinstance(network, str) else values


class ServiceSettings(NetworkSettings):
    """Settings of every service of the pool.

    Attributes:
        log_level: debug, info, warning or error.
        bind_address: Where the listeners bind; a loopback address.
        stellar_rpc_url: Stellar RPC, or several separated by commas, the preferred one first; has a default for
            testnet only. Two are worth more than one: no single one is then believed that a transaction is lost.
        ledger_poll_ms: How often the RPC is asked for the last closed ledger.
    """

    log_level: LogLevel = "info"
    bind_address: LoopbackAddress = "127.0.0.1"
    stellar_rpc_url: HttpUrls
    ledger_poll_ms: Annotated[int, Field(ge=10, le=60_000)] = 500

    @property
    def stellar_rpc_urls(self) -> tuple[str, ...]:
        """Every Stellar RPC, the preferred one first."""
        return tuple(self.stellar_rpc_url.split(","))


def load(settings: type[S], env_file: Path | None = Path(".env"), **overrides: Any) -> S:
    """Reads settings from the environment, then from `env_file` if it exists.

    Args:
        settings: The settings' class.
        env_file: A file of NAME=value lines, or None for none.
        overrides: Values that win over both, by field name.

    Raises:
        ConfigError: In one line, every variable that is wrong and why; never a value that may be secret.
    """
    try:
        # _env_file is pydantic-settings' documented way to choose the file at run time.
        return settings(_env_file=env_file, **overrides)
    except ValidationError as error:
        raise _config_error(error) from None
    except UnicodeDecodeError:
        raise ConfigError(None, f"{env_file} is not a text file in UTF-8") from None


def check_all(*checks: Callable[[], object]) -> None:
    """Runs checks of settings that are well-formed each by itself.

    Raises:
        ConfigError: In one line, what all of them found.
    """
    found: list[ConfigError] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        raise ConfigError(None, "; ".join(str(error) for error in found))


def secret_from(variable: str, value: SecretStr | None, file: Path | None) -> SecretStr | None:
    """The secret given as `variable` or in the file that `variable`_FILE names; None if neither is set.

    Raises:
        ConfigError: If both are set, or the file is missing, empty, or readable by others.
    """
    if value is not None and file is not None:
        raise ConfigError(variable, f"is set together with {variable}_FILE; keep one of the two")
    if file is None:
        return value
    name = f"{variable}_FILE"
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(name, f"cannot read {file}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(name, f"{file} can be read by others; run chmod 600 on it")
    if not text:
        raise ConfigError(name, f"{file} is empty")
    return SecretStr(text)


def _config_error(error: ValidationError) -> ConfigError:
    problems = [(str(item["loc"][0]).upper() if item["loc"] else None, _problem(item)) for item in error.errors()]
    if len(problems) == 1:
        return ConfigError(*problems[0])
    return ConfigError(None, "; ".join(str(ConfigError(*problem)) for problem in problems))


def _problem(item: Any) -> str:
    if item["type"] == "missing":
        return "is not set and has no default for this STELLAR_NETWORK"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:] if message.startswith("Input") else message
