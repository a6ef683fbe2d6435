"""The settings of backups; `.env.example` explains each."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pydantic import AfterValidator, Field, SecretStr

from backend.backup.sealing import BackupKey, read_key, read_public_key
from backend.backup.tools import PostgresTools
from backend.config import ENV_FILE, KeySettings, database_url
from backend.key_ring import key_ring
from backend.vault import Seeds
from kale_common.errors import ConfigError
from kale_common.settings import NETWORKS, LogLevel, Network, SharedSettings, load


class BackupSettings(SharedSettings):
    """What every command about backups needs.

    Attributes:
        backup_directory: Where backups are kept; on another disk than the database, better on another machine.
        backup_key_file: The private key that opens backups; needed to verify, restore and drill.
        backup_public_key_file: The public key they are sealed for; by default the private key's name and ".pub".
        postgres_bin: Folder of PostgreSQL's programs, of the server's major version; by default found on PATH.
        postgres_user: The user a temporary server runs as where the command is run as root, which PostgreSQL refuses.
        log_level: debug, info, warning or error.
    """

    backup_directory: Path
    backup_key_file: Path | None = None
    backup_public_key_file: Path | None = None
    postgres_bin: Path | None = None
    postgres_user: str | None = None
    log_level: LogLevel = "info"

    @staticmethod
    def secrets_of(url: SecretStr) -> list[str]:
        """The password in a database URL, as it is written and as it is meant; never to be logged."""
        password = urlsplit(url.get_secret_value()).password
        return [] if password is None else [password, unquote(password)]

    def recipient(self) -> X25519PublicKey:
        """The key that backups are sealed for.

        Raises:
            ConfigError: None is named.
            BackupError: Its file cannot be used.
        """
        file = self.backup_public_key_file
        if file is None and self.backup_key_file is not None:
            file = self.backup_key_file.with_name(self.backup_key_file.name + ".pub")
        if file is None:
            raise ConfigError("BACKUP_PUBLIC_KEY_FILE", "is not set; `kale-backend backup key` makes one")
        return read_public_key(file)

    def key(self) -> BackupKey:
        """The key that opens backups.

        Raises:
            ConfigError: None is named.
            BackupError: Its file cannot be used.
        """
        if self.backup_key_file is None:
            raise ConfigError("BACKUP_KEY_FILE", "is not set; backups cannot be opened without it")
        return read_key(self.backup_key_file)

    def tools(self) -> PostgresTools:
        """PostgreSQL's programs.

        Raises:
            ConfigError: They are not there, or the command runs as root and POSTGRES_USER is not set.
        """
        if os.geteuid() == 0 and self.postgres_user is None:
            raise ConfigError("POSTGRES_USER", "is not set; PostgreSQL refuses to run as root, name another user")
        return PostgresTools.find(self.postgres_bin, self.postgres_user)


class TakingSettings(BackupSettings):
    """What it takes to make backups.

    Attributes:
        backup_database_url: The database as a role that may replicate.
        backup_interval_minutes: Minutes between two base backups.
        backup_wal_seconds: Seconds between two looks for new write-ahead log.
        backup_keep_days: Days that can be restored to; older backups are removed.
        backup_drill_hours: Hours between two drills; 0 for none. A drill needs BACKUP_KEY_FILE.
        backup_slot: The replication slot that keeps the log until it was fetched.
    """

    backup_database_url: Annotated[SecretStr, AfterValidator(database_url)]
    backup_interval_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    backup_wal_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    backup_keep_days: Annotated[int, Field(ge=1, le=3_650)] = 7
    backup_drill_hours: Annotated[int, Field(ge=0, le=8_760)] = 24
    backup_slot: Annotated[str, Field(pattern="^[a-z0-9_]{1,60}$")] = "kale_backup"


class DrillSettings(BackupSettings, KeySettings):
    """What it takes to look into a restored database.

    Attributes:
        database_url: The backend's database: role, password and name are taken of it, never its host.
        stellar_network: mainnet, testnet or local.
        stellar_network_passphrase: The network's passphrase; has a default except for local.
    """

    database_url: Annotated[SecretStr, AfterValidator(database_url)]
    stellar_network: Network = "testnet"
    stellar_network_passphrase: str | None = None

    def secrets(self) -> list[str]:
        """Texts that must never be logged."""
        return [*self.secrets_of(self.database_url), *super().secrets()]

    def seeds(self) -> Seeds:
        """What opens a canary key.

        Raises:
            ConfigError: The network's passphrase is missing, or the settings of the keys' device are incomplete.
            KeyFileError: The key file cannot be used.
        """
        passphrase = self.stellar_network_passphrase
        if passphrase is None:
            passphrase = NETWORKS[self.stellar_network].get("stellar_network_passphrase")
        if passphrase is None:
            raise ConfigError("STELLAR_NETWORK_PASSPHRASE", "is not set and has no default for this STELLAR_NETWORK")
        return Seeds(key_ring(self), passphrase)


def load_backup_settings(env_file: Path | None = ENV_FILE) -> BackupSettings:
    """What every command about backups needs. Raises ConfigError."""
    return load(BackupSettings, env_file)


def load_taking_settings(env_file: Path | None = ENV_FILE) -> TakingSettings:
    """What it takes to make backups. Raises ConfigError."""
    return load(TakingSettings, env_file)


def load_drill_settings(env_file: Path | None = ENV_FILE) -> DrillSettings:
    """What it takes to look into a restored database. Raises ConfigError."""
    return load(DrillSettings, env_file)
