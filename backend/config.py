"""The backend's settings: environment variables, then a `.env` file. `backend/.env.example` explains each.

Whatever is missing or malformed raises kale_common's ConfigError: one line that names the variables and never a secret.
"""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from backend.alarm_settings import AlarmSettings
from backend.domain.rate import Rate
from backend.domain.signing import MAX_SIGNED_AWAY_STROOPS, MAX_STAKE_STROOPS
from backend.economy_config import EconomySettings
from backend.payout_config import PayoutSettings, Stroops
from kale_chain.errors import InvalidSecretError
from kale_chain.tx import Signer
from kale_common.errors import ConfigError
from kale_common.settings import (
    HttpUrl,
    IpAddress,
    LogLevel,
    Network,
    NetworkSettings,
    Port,
    ServiceSettings,
    SharedSettings,
    check_all,
    is_loopback,
    load,
    secret_from,
)

ENV_FILE = Path(".env")
_DATABASE_FORM = "write postgresql://user:password@host:port/database"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def database_url(value: SecretStr) -> SecretStr:
    """Accepts PostgreSQL URLs; never repeats the value, which holds a password."""
    try:
        parts = urlsplit(value.get_secret_value())
        usable = parts.scheme in {"postgresql", "postgres"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"is not a PostgreSQL URL; {_DATABASE_FORM}")
    if not parts.path.strip("/"):
        raise ValueError(f"names no database; {_DATABASE_FORM}")
    return value


def _address(value: str) -> str:
    """Accepts IP addresses."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if value == "localhost" else value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IP address; use 127.0.0.1, or 0.0.0.0 for every one") from error


class DatabaseSettings(SharedSettings):
    """What it takes to reach and migrate the database.

    Attributes:
        database_url: postgresql://user:password@host:port/database, as the application's role.
        database_owner_url: The same database as the owner of its tables, for `kale-backend migrate`; without it the
            role in database_url owns them.
        allow_owner_role: Whether the backend may connect as the owner of the tables outside network local.
        db_max_connections: Connections the backend opens at most.
        stellar_network: mainnet, testnet or local; sample rows are refused on mainnet.
        log_level: debug, info, warning or error.
    """

    database_url: Annotated[SecretStr, AfterValidator(database_url)]
    database_owner_url: Annotated[SecretStr, AfterValidator(database_url)] | None = None
    allow_owner_role: bool = False
    db_max_connections: Annotated[int, Field(ge=2, le=1000)] = 20
    stellar_network: Network = "testnet"
    log_level: LogLevel = "info"

    def secrets(self) -> list[str]:
        """Texts that must never be logged."""
        urls = [url.get_secret_value() for url in (self.database_url, self.database_owner_url) if url is not None]
        passwords = [password for password in (urlsplit(url).password for url in urls) if password is not None]
        return [*passwords, *map(unquote, passwords), *super().secrets()]

    @property
    def owner_allowed(self) -> bool:
        """Whether a role that owns the tables is only reported: on a local network nothing is at stake."""
        return self.allow_owner_role or self.stellar_network == "local"


class KeySettings(SharedSettings):
    """Where the key-encryption keys are.

    Attributes:
        key_file: File of 32 random bytes, version 1 of the key that seals the farmers' seeds; `kale-backend key create`
            makes it. Version N, which `kale-backend keys rotate` makes, lies beside it with ".N" after its name.
        pkcs11_module: Library of a PKCS#11 device; with it new versions are made in the device, and files only read.
        pkcs11_token: Label of the token in it.
        pkcs11_pin: The token's user PIN, unless it is in a file.
        pkcs11_pin_file: A file with that PIN, readable by its owner only.
        pkcs11_key_label: What the labels of keys in the device begin with.
    """

    key_file: Path
    pkcs11_module: Path | None = None
    pkcs11_token: str | None = None
    pkcs11_pin: SecretStr | None = None
    pkcs11_pin_file: Path | None = None
    pkcs11_key_label: str = "kale-pool"

    def pin(self) -> str:
        """The PIN of the PKCS#11 token.

        Raises:
            ConfigError: it is missing or unreadable.
        """
        pin = secret_from("PKCS11_PIN", self.pkcs11_pin, self.pkcs11_pin_file)
        if pin is None:
            raise ConfigError("PKCS11_PIN", "is not set; set it or PKCS11_PIN_FILE")
        return pin.get_secret_value()

    def secrets(self) -> list[str]:
        """Texts that must never be logged."""
        return [*([self.pin()] if self.pkcs11_module else []), *super().secrets()]


class TlsSettings(SharedSettings):
    """Where the pool's certificate authority is, and where poolers from other machines reach the backend.

    Attributes:
        tls_directory: The authority's directory; `kale-backend tls create` makes it. Without it poolers are served on
            loopback alone, without certificates.
        pooler_bind_address: Where the poolers' port binds: any address, since nobody passes it without a certificate.
        pooler_port: The poolers' port; 0 lets the system choose.
    """

    tls_directory: Path | None = None
    pooler_bind_address: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    pooler_port: Port = 3443

    def authority_directory(self) -> Path:
        """The authority's directory.

        Raises:
            ConfigError: none is set.
        """
        if self.tls_directory is None:
            raise ConfigError("TLS_DIRECTORY", "is not set; set it and run `kale-backend tls create`")
        return self.tls_directory


class TrustSettings(DatabaseSettings, TlsSettings):
    """What it takes to invite and to exclude poolers."""


class LedgerSettings(ServiceSettings, DatabaseSettings):
    """What it takes to reach the database and the ledger."""


class KeysSettings(ServiceSettings, DatabaseSettings, KeySettings):
    """What `kale-backend keys` needs: the keys, and the seeds they seal."""


class SignerSettings(NetworkSettings, KeySettings):
    """What `kale-backend signer` needs.

    Attributes:
        log_level: debug, info, warning or error.
        master_wallet_address: The account that sponsors farmers' accounts and gets what is left of closed ones.
        stake_cap_stroops: Most KALE that one plant may stake; more is refused, whoever asks.
        signer_socket: The Unix socket of a signer that runs by itself; without it a backend starts one of its own.
        signer_client_uid: The user whose processes the signer answers; by default its own.
        signer_day_stroops: Most KALE that the signer signs away in 24 hours, whatever the backend says it approved; 0:
            no limit.
        signer_journal_file: File in which the signer keeps what it signed; by default beside the key file.
    """

    log_level: LogLevel = "info"
    master_wallet_address: str
    stake_cap_stroops: Annotated[int, Field(ge=1, le=2**63 - 1)] = MAX_STAKE_STROOPS
    signer_socket: Path | None = None
    signer_client_uid: Annotated[int, Field(ge=0)] | None = None
    signer_day_stroops: Stroops = MAX_SIGNED_AWAY_STROOPS
    signer_journal_file: Path | None = None

    def signer_values(self) -> dict[str, object]:
        """Every setting of the signer by name, secrets in clear, for the environment of a process of its own."""
        values = {name: getattr(self, name) for name in SignerSettings.model_fields if name != "signer_socket"}
        return {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in values.items()}

    def journal_path(self) -> Path:
        """The file in which the signer keeps what it signed."""
        return self.signer_journal_file or self.key_file.with_name(self.key_file.name + ".signed")

    def client_uid(self) -> int:
        """The user whose processes are answered."""
        return os.geteuid() if self.signer_client_uid is None else self.signer_client_uid


class Settings(
    ServiceSettings, DatabaseSettings, SignerSettings, PayoutSettings, EconomySettings, AlarmSettings, TlsSettings
):
    """Everything `kale-backend run` needs.

    Attributes:
        master_wallet_secret: The secret key (S…) of MASTER_WALLET_ADDRESS, unless it is in a file. That account pays
            every fee.
        master_wallet_secret_file: A file with that secret key, readable by its owner only.
        stellar_horizon_url: Accepted as in the plan; everything is read through STELLAR_RPC_URL.
        port: The gRPC port; 0 lets the system choose.
        http_port: The port of the JSON routes; 0 lets the system choose.
        harvest_interval_seconds: Upper bound between two looks for due harvests; a new block looks at once.
        harvest_channels: Channel accounts for harvests and the backstop, 1 XLM each: transactions in one ledger.
        fee_cap_stroops: Most stroops of XLM that one transaction may cost, fee bumps included.
        fee_cap_per_hour_stroops: Most that all transactions of an hour (720 ledgers) may cost. Plants leave of it, and
            of the master account's XLM, what harvesting the open pails costs.
        signer_in_process: Whether farmers' keys are used inside the backend instead; on network local only, for tests.
        head_file: File that records how far the database has come; by default beside the key file. It must be
            writable, and lie on another disk than the database.
        pooler_api_url: Accepted as in the plan; poolers call the backend, which needs no address of theirs.
        statement_key_file: File of the key that signs statements; by default beside the key file. Made if missing.
        bind_address: Where PORT and HTTP_PORT bind; another than a loopback address takes TLS and authentication.
        tls_certificate_file: The certificate that PORT and HTTP_PORT show, with its chain (PEM); then they speak TLS.
        tls_key_file: Its private key (PEM).
        auth: required: every caller needs a token or a certificate; off: everybody on this machine may do everything.
            By default off on network local and required elsewhere.
        rate_limit_per_second: Calls a second that each client may make for ever.
        rate_limit_burst: Calls that each client may make at once after a pause.
    """

    master_wallet_secret: SecretStr | None = None
    master_wallet_secret_file: Path | None = None
    stellar_horizon_url: HttpUrl | None = None
    port: Port = 3000
    http_port: Port = 8000
    harvest_interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    harvest_channels: Annotated[int, Field(ge=1, le=1000)] = 100
    fee_cap_stroops: Annotated[int, Field(ge=1_000_000, le=1_000_000_000)] = 50_000_000
    fee_cap_per_hour_stroops: Annotated[int, Field(ge=10_000_000, le=1_000_000_000_000)] = 2_000_000_000
    signer_in_process: bool = False
    head_file: Path | None = None
    pooler_api_url: HttpUrl = "http://localhost:3001"
    statement_key_file: Path | None = None
    bind_address: IpAddress = "127.0.0.1"
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    auth: Annotated[Literal["required", "off"] | None, BeforeValidator(_lower)] = None
    rate_limit_per_second: Annotated[int, Field(ge=1, le=100_000)] = 100
    rate_limit_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1000

    @model_validator(mode="after")
    def _closed_to_others(self) -> "Settings":
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("TLS_CERTIFICATE_FILE and TLS_KEY_FILE belong together: set both, or none")
        if is_loopback(self.bind_address):
            return self
        if self.tls_certificate_file is None:
            raise ValueError(
                f"BIND_ADDRESS: {self.bind_address} is reached from other machines: set TLS_CERTIFICATE_FILE and "
                "TLS_KEY_FILE, or use 127.0.0.1"
            )
        if not self.auth_required:
            raise ValueError(
                f"BIND_ADDRESS: {self.bind_address} is reached from other machines: set AUTH=required, or use 127.0.0.1"
            )
        return self

    @property
    def auth_required(self) -> bool:
        """Whether callers must say who they are: on a local network nothing is at stake."""
        return self.auth == "required" or (self.auth is None and self.stellar_network != "local")

    @property
    def rate(self) -> Rate:
        """How much each client may do."""
        return Rate(self.rate_limit_per_second, self.rate_limit_burst)

    def master(self) -> Signer:
        """The master account's signer.

        Raises:
            ConfigError: its secret is missing, unreadable, malformed or not that of MASTER_WALLET_ADDRESS.
        """
        secret = self._master_secret()
        name = "MASTER_WALLET_SECRET" if self.master_wallet_secret_file is None else "MASTER_WALLET_SECRET_FILE"
        try:
            signer = Signer.from_secret(secret.get_secret_value())
        except InvalidSecretError:
            raise ConfigError(name, "is not a Stellar secret key (S and 55 more characters)") from None
        if signer.address != self.master_wallet_address:
            raise ConfigError(
                name, f"is the secret of {signer.address}, not of MASTER_WALLET_ADDRESS {self.master_wallet_address}"
            )
        return signer

    def head_path(self) -> Path:
        """Where the database's head is recorded: HEAD_FILE, or the key file's name with ".head" after it."""
        return self.head_file or self.key_file.with_name(self.key_file.name + ".head")

    def statement_key_path(self) -> Path:
        """Where the statement key is: STATEMENT_KEY_FILE, or the key file's name with ".statement" after it."""
        return self.statement_key_file or self.key_file.with_name(self.key_file.name + ".statement")

    def secrets(self) -> list[str]:
        """Texts that must never be logged."""
        return [self._master_secret().get_secret_value(), *self.alarm_secrets(), *super().secrets()]

    def _master_secret(self) -> SecretStr:
        secret = secret_from("MASTER_WALLET_SECRET", self.master_wallet_secret, self.master_wallet_secret_file)
        if secret is None:
            raise ConfigError("MASTER_WALLET_SECRET", "is not set; set it or MASTER_WALLET_SECRET_FILE")
        return secret


def load_settings(env_file: Path | None = ENV_FILE) -> Settings:
    """The settings of `kale-backend run`, complete and with a master secret that fits its address.

    Raises:
        ConfigError: a variable is missing or malformed.
    """
    settings = load(Settings, env_file)
    check_all(settings.master, settings.payout_rules, settings.webhook)
    return settings


def load_database_settings(env_file: Path | None = ENV_FILE) -> DatabaseSettings:
    """The settings of `kale-backend migrate`.

    Raises:
        ConfigError: a variable is missing or malformed.
    """
    return load(DatabaseSettings, env_file)


def load_ledger_settings(env_file: Path | None = ENV_FILE) -> LedgerSettings:
    """The settings of `kale-backend at-risk`.

    Raises:
        ConfigError: a variable is missing or malformed.
    """
    return load(LedgerSettings, env_file)


def load_signer_settings(env_file: Path | None = ENV_FILE) -> SignerSettings:
    """The settings of `kale-backend signer`.

    Raises:
        ConfigError: a variable is missing or malformed.
    """
    return load(SignerSettings, env_file)


def load_keys_settings(env_file: Path | None = ENV_FILE) -> KeysSettings:
    """The settings of `kale-backend keys`.

    Raises:
        ConfigError: a variable is missing or malformed.
    """
    return load(KeysSettings, env_file)


def load_key_settings(env_file: Path | None = ENV_FILE) -> KeySettings:
    """The settings of `kale-backend key create`.

    Raises:
        ConfigError: KEY_FILE is missing.
    """
    return load(KeySettings, env_file)


def load_tls_settings(env_file: Path | None = ENV_FILE) -> TlsSettings:
    """The settings of `kale-backend tls`.

    Raises:
        ConfigError: a variable is malformed.
    """
    return load(TlsSettings, env_file)


def load_trust_settings(env_file: Path | None = ENV_FILE) -> TrustSettings:
    """The settings of `kale-backend pooler`.

    Raises:
        ConfigError: a variable is missing or malformed.
    """
    return load(TrustSettings, env_file)
