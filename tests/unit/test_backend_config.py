"""The backend's settings: defaults, and one clear line for whatever is wrong."""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from backend.backup.settings import TakingSettings
from backend.config import (
    DatabaseSettings,
    KeySettings,
    Settings,
    load_database_settings,
    load_key_settings,
    load_settings,
)
from backend.custody import check_caps
from kale_chain.tx import Signer
from kale_common.errors import ConfigError

MASTER = Signer.from_seed(bytes(range(32)))
SECRET = "SAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6NKI"
PASSWORD = "tops3cret"
NAMES = {name.upper() for settings in (Settings, DatabaseSettings, KeySettings) for name in settings.model_fields}
COMPLETE = {
    "DATABASE_URL": f"postgresql://kale:{PASSWORD}@localhost:5432/kale_pool",
    "MASTER_WALLET_SECRET": SECRET,
    "MASTER_WALLET_ADDRESS": MASTER.address,
    "KEY_FILE": "sealing.key",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def read(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings(None)


def test_defaults_are_the_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, COMPLETE)
    assert (settings.port, settings.http_port, settings.bind_address) == (3000, 8000, "127.0.0.1")
    assert (settings.db_max_connections, settings.harvest_interval_seconds, settings.log_level) == (20, 30, "info")
    assert settings.harvest_channels == 100
    assert (settings.fee_cap_stroops, settings.fee_cap_per_hour_stroops) == (50_000_000, 2_000_000_000)
    assert settings.stellar_network == "testnet"
    assert settings.stellar_network_passphrase == "Test SDF Network ; September 2015"
    assert settings.master().address == MASTER.address


def test_mainnet_knows_its_passphrase_and_asks_for_an_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^STELLAR_RPC_URL: is not set"):
        read(monkeypatch, {**COMPLETE, "STELLAR_NETWORK": "mainnet"})
    settings = read(monkeypatch, {"STELLAR_RPC_URL": "https://rpc.example"})
    assert settings.stellar_network_passphrase == "Public Global Stellar Network ; September 2015"


def test_local_network_needs_everything_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        read(monkeypatch, {**COMPLETE, "STELLAR_NETWORK": "local"})
    for name in ("STELLAR_RPC_URL", "STELLAR_NETWORK_PASSPHRASE", "KALE_CONTRACT_ID"):
        assert f"{name}: is not set" in str(caught.value)


@pytest.mark.parametrize("missing", ["DATABASE_URL", "MASTER_WALLET_SECRET", "MASTER_WALLET_ADDRESS", "KEY_FILE"])
def test_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    rest = {name: value for name, value in COMPLETE.items() if name != missing}
    with pytest.raises(ConfigError, match=rf"^{missing}: is not set"):
        read(monkeypatch, rest)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DATABASE_URL", f"mysql://kale:{PASSWORD}@localhost/pool", "is not a PostgreSQL URL; write postgresql://"),
        ("DATABASE_URL", f"kale:{PASSWORD}@localhost", "is not a PostgreSQL URL"),
        ("DATABASE_URL", f"postgresql://kale:{PASSWORD}@localhost:port/pool", "is not a PostgreSQL URL"),
        ("DATABASE_URL", f"postgresql://kale:{PASSWORD}@localhost", "names no database"),
        ("DB_MAX_CONNECTIONS", "0", "greater than or equal to 2"),
        ("DB_MAX_CONNECTIONS", "many", "valid integer"),
        ("STELLAR_NETWORK", "futurenet", "'mainnet', 'testnet' or 'local'"),
        ("STELLAR_RPC_URL", "localhost:8000", "is not a URL"),
        ("BIND_ADDRESS", "0.0.0.0", "is reached from other machines: set TLS_CERTIFICATE_FILE"),  # noqa: S104
        ("BIND_ADDRESS", "here", "is not an IP address"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("HARVEST_INTERVAL_SECONDS", "0", "greater than or equal to 1"),
        ("HARVEST_CHANNELS", "1001", "less than or equal to 1000"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("MASTER_WALLET_SECRET", "SAAAB", "is not a Stellar secret key"),
        ("MASTER_WALLET_ADDRESS", "GAAA", "not of MASTER_WALLET_ADDRESS GAAA"),
    ],
)
def test_bad_value_is_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(monkeypatch, {**COMPLETE, name: value})
    text = str(caught.value)
    assert text.startswith("MASTER_WALLET_SECRET: " if name == "MASTER_WALLET_ADDRESS" else f"{name}: ")
    assert problem in text
    assert len(text.splitlines()) == 1
    assert PASSWORD not in text
    assert SECRET not in text


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        read(monkeypatch, {**COMPLETE, "PORT": "none", "LOG_LEVEL": "loud"})
    assert "PORT: " in str(caught.value)
    assert "LOG_LEVEL: " in str(caught.value)


def test_master_secret_of_another_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Signer.generate().address
    with pytest.raises(ConfigError, match=f"is the secret of {MASTER.address}, not of MASTER_WALLET_ADDRESS {other}"):
        read(monkeypatch, {**COMPLETE, "MASTER_WALLET_ADDRESS": other})


def test_master_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "master.secret"
    file.touch(mode=0o600)
    file.write_text(f"{SECRET}\n")
    environment = {name: value for name, value in COMPLETE.items() if name != "MASTER_WALLET_SECRET"}
    settings = read(monkeypatch, {**environment, "MASTER_WALLET_SECRET_FILE": str(file)})
    assert settings.master().address == MASTER.address
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"^MASTER_WALLET_SECRET_FILE: .* can be read by others; run chmod 600"):
        settings.master()


def test_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}={value}\n" for name, value in {**COMPLETE, "PORT": "1", "HTTP_PORT": "2"}.items()))
    monkeypatch.setenv("PORT", "3")
    settings = load_settings(file)
    assert (settings.port, settings.http_port) == (3, 2)


def test_example_file_names_only_settings_there_are() -> None:
    lines = Path("backend/.env.example").read_text().splitlines()
    names = {match[1] for line in lines if (match := re.match(r"#?([A-Z0-9_]+)=", line))}
    backups = {name.upper() for name in TakingSettings.model_fields if name.startswith("backup_")}
    assert names - backups | {"BACKUP_DIRECTORY"} == {name.upper() for name in Settings.model_fields}
    assert {"BACKUP_DIRECTORY", "BACKUP_DATABASE_URL", "BACKUP_KEY_FILE"} <= names


def test_migrating_needs_the_database_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", COMPLETE["DATABASE_URL"])
    settings = load_database_settings(None)
    assert settings.stellar_network == "testnet"
    assert settings.secrets() == [PASSWORD, PASSWORD]


def test_making_a_key_needs_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^KEY_FILE: is not set"):
        load_key_settings(None)
    monkeypatch.setenv("KEY_FILE", "some.key")
    assert load_key_settings(None).key_file == Path("some.key")


def test_secrets_are_known_to_the_logs_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, {**COMPLETE, "DATABASE_URL": "postgresql://kale:p%40ss@localhost/kale_pool"})
    assert set(settings.secrets()) == {SECRET, "p%40ss", "p@ss"}
    for secret in settings.secrets():
        assert secret not in repr(settings)


def test_another_address_takes_a_certificate_and_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = {"TLS_CERTIFICATE_FILE": "a.pem", "TLS_KEY_FILE": "a.key"}
    assert read(monkeypatch, {**COMPLETE, **certificate, "BIND_ADDRESS": "::"}).bind_address == "::"
    with pytest.raises(ConfigError, match=r"BIND_ADDRESS: :: is reached from other machines: set AUTH=required"):
        read(monkeypatch, {"AUTH": "off"})
    monkeypatch.delenv("TLS_KEY_FILE")
    with pytest.raises(ConfigError, match="belong together"):
        read(monkeypatch, {})


@pytest.mark.parametrize(
    ("pool", "signer", "refused"), [("10", "9", True), ("10", "10", False), ("0", "9", False), ("10", "0", False)]
)
def test_signers_cap_has_room_for_the_limits_of_payments(
    monkeypatch: pytest.MonkeyPatch, pool: str, signer: str, *, refused: bool
) -> None:
    limits = {"WITHDRAWAL_POOL_DAY_STROOPS": pool, "SIGNER_DAY_STROOPS": signer}
    settings = read(monkeypatch, COMPLETE | limits)
    assert settings.journal_path() == Path("sealing.key.signed")
    with pytest.raises(ConfigError, match="would wait") if refused else nullcontext():
        check_caps(settings)


@pytest.mark.parametrize(
    ("network", "auth", "required"),
    [("testnet", "", True), ("testnet", "off", False), ("local", "", False), ("local", "REQUIRED", True)],
)
def test_tokens_are_asked_for_where_something_is_at_stake(
    network: str, auth: str, *, required: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {"STELLAR_RPC_URL": "http://127.0.0.1:1", "STELLAR_NETWORK_PASSPHRASE": "p", "KALE_CONTRACT_ID": "c"}
    environment = {**COMPLETE, **local, "STELLAR_NETWORK": network, "AUTH": auth}
    assert read(monkeypatch, environment).auth_required is required
