"""A pooler's settings, by the environment's names in capitals; `.env.example` says what each means."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from kale_common.errors import ConfigError
from kale_common.settings import HttpUrls, Port, ServiceSettings, load, secret_from

FEE_ACCOUNT = "FEE_ACCOUNT_SECRET"
BACKEND_TOKEN = "BACKEND_TOKEN"  # noqa: S105  (a variable's name)
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})

# A channel account carries two farmers at most at a block's end: one work in each of two ledgers.
FARMERS_PER_CHANNEL = 2

_POOLER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _origins(urls: str) -> str:
    """Accepts http(s)://host:port without anything behind it, or several of one kind."""
    for url in urls.split(","):
        if re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[^/@:\[\]]+)(:\d+)?/?", url) is None:
            raise ValueError("must be http://host:port or https://host:port, without a path")
    if len({urlsplit(url).scheme for url in urls.split(",")}) > 1:
        raise ValueError("mixes http and https; a pooler uses one of them")
    return urls


def _name(text: str) -> str:
    if _POOLER_ID.fullmatch(text) is None:
        raise ValueError("must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'")
    return text


class PoolerSettings(ServiceSettings):
    """Settings of a pooler, beside those of every service.

    Attributes:
        backend_api_url: The backend's gRPC listener; https means TLS. Several, separated by commas, where another
            backend takes over when one is gone.
        backend_token: What `kale-backend token create --role pooler` printed, where the backend asks for tokens.
        backend_token_file: A file that holds it instead.
        api_timeout_ms: Longest unary call, and longest silence of a stream.
        block_monitor_interval_ms: Longest time between two reads of the farm.
        max_work_processes: Searches that may run at a time, one per farmer.
        machine_cpu_cores: Cores to use; less where affinity or quota allow less. None: all that these allow.
        hash_kernel: "auto" or a kernel's name.
        work_timeout_ms: From submitting one work to its known result.
        max_retry_attempts: New work transactions per farmer and block, beyond the insuring and the final one.
        work_channels: Channel accounts; None: as many as max_work_processes.
        pooler_id: The pooler's stable name.
        fee_account_secret: The fee account's secret key.
        fee_account_secret_file: A file that holds it instead.
        tls_directory: Where this pooler's certificate is; `kale-pooler enrol` fills it. For an https backend of a pool
            with its own authority.
        state_directory: Where finds and reports survive a restart.
        port: gRPC listener; 0: any free one.
        http_port: HTTP listener; 0: any free one.
    """

    backend_api_url: Annotated[HttpUrls, AfterValidator(_origins)] = "http://localhost:3000"
    backend_token: SecretStr | None = None
    backend_token_file: Path | None = None
    api_timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = 10_000
    block_monitor_interval_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    max_work_processes: Annotated[int, Field(ge=1, le=500)] = 50
    machine_cpu_cores: Annotated[int | None, Field(ge=1)] = None
    hash_kernel: Annotated[str, Field(min_length=1)] = "auto"
    work_timeout_ms: Annotated[int, Field(ge=1_000, le=3_600_000)] = 120_000
    max_retry_attempts: Annotated[int, Field(ge=0, le=100)] = 3
    work_channels: Annotated[int | None, Field(ge=1, le=500)] = None
    pooler_id: Annotated[str, AfterValidator(_name)] = "pooler"
    fee_account_secret: SecretStr | None = None
    fee_account_secret_file: Path | None = None
    tls_directory: Path | None = None
    state_directory: Path = Path("pooler-state")
    port: Port = 3001
    http_port: Port = 8001

    @model_validator(mode="after")
    def _distinct_ports(self) -> "PoolerSettings":
        if self.port and self.port == self.http_port:
            raise ValueError(f"PORT and HTTP_PORT are both {self.port}; choose another for one of them")
        return self

    def token(self) -> str | None:
        """The token for the backend; None if there is none.

        Raises:
            ConfigError: If there are two, it is unreadable, or would cross a network in clear.
        """
        secret = secret_from(BACKEND_TOKEN, self.backend_token, self.backend_token_file)
        if secret is None:
            return None
        for url in map(urlsplit, self.backend_api_url.split(",")):
            if url.scheme == "http" and url.hostname not in _THIS_MACHINE:
                raise ConfigError(BACKEND_TOKEN, f"would cross the network in clear; make {url.geturl()} https")
        return secret.get_secret_value()

    @property
    def channels(self) -> int:
        """How many channel accounts there should be."""
        return self.work_channels or self.max_work_processes

    def farmers(self, channels: int) -> int:
        """How many farmers to ask for, given the channel accounts that exist."""
        return min(self.max_work_processes, channels * FARMERS_PER_CHANNEL)

    def fee_secret(self) -> SecretStr:
        """The fee account's secret key.

        Raises:
            ConfigError: If there is none, two, or an unreadable one.
        """
        secret = secret_from(FEE_ACCOUNT, self.fee_account_secret, self.fee_account_secret_file)
        if secret is None:
            raise ConfigError(
                FEE_ACCOUNT,
                f"is not set; set {FEE_ACCOUNT}_FILE and run kale-pooler accounts create, which makes the key",
            )
        return secret


def load_settings(env_file: Path | None = Path(".env")) -> PoolerSettings:
    """The settings from the environment and `env_file`.

    Raises:
        ConfigError: In one line, every variable that is wrong.
    """
    return load(PoolerSettings, env_file)
