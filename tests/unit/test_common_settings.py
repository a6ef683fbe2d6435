"""Settings shared by both services: what is accepted, and how a mistake is told."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from kale_common.errors import ConfigError
from kale_common.settings import NETWORKS, ServiceSettings, load, secret_from

SEED = "S" + "B" * 55
NAMES = [name.upper() for name in ServiceSettings.model_fields]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_testnet_needs_no_settings() -> None:
    settings = load(ServiceSettings, env_file=None)
    assert settings.kale_contract_id == NETWORKS["testnet"]["kale_contract_id"]
    assert settings.stellar_rpc_url.startswith("https://")


def test_environment_wins_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("LOG_LEVEL=debug  # a comment\nLEDGER_POLL_MS=100\nUNKNOWN=1\n")
    monkeypatch.setenv("LEDGER_POLL_MS", "200")
    settings = load(ServiceSettings, env_file=file)
    assert (settings.log_level, settings.ledger_poll_ms) == ("debug", 200)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALE_CONTRACT_ID", "")
    assert load(ServiceSettings, env_file=None).kale_contract_id == NETWORKS["testnet"]["kale_contract_id"]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_only_loopback_addresses_are_bound(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIND_ADDRESS", address)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1") as caught:
        load(ServiceSettings, env_file=None)
    assert caught.value.variable == "BIND_ADDRESS"


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOG_LEVEL", "loud"), ("LEDGER_POLL_MS", "soon"), ("STELLAR_RPC_URL", "ftp://host"), ("STELLAR_NETWORK", "moon")],
)
def test_a_wrong_value_is_told_in_one_line_by_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STELLAR_NETWORK_PASSPHRASE", "a network")
    monkeypatch.setenv("STELLAR_RPC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KALE_CONTRACT_ID", "C")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(ServiceSettings, env_file=None)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_another_network_has_no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLAR_NETWORK", "local")
    with pytest.raises(ConfigError) as caught:
        load(ServiceSettings, env_file=None)
    for name in ("STELLAR_RPC_URL", "STELLAR_NETWORK_PASSPHRASE", "KALE_CONTRACT_ID"):
        assert f"{name}: is not set" in str(caught.value)


def test_a_secret_comes_from_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SEED}\n")
    file.chmod(0o600)
    secret = secret_from("FEE_ACCOUNT_SECRET", None, file)
    assert secret is not None
    assert secret.get_secret_value() == SEED
    assert SEED not in repr(secret)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SEED)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        secret_from("FEE_ACCOUNT_SECRET", None, file)
    assert SEED not in str(caught.value)


@pytest.mark.parametrize("content", [None, ""])
def test_a_missing_or_empty_secret_file_names_the_variable(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match="MASTER_WALLET_SECRET_FILE"):
        secret_from("MASTER_WALLET_SECRET", None, file)


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keep one of the two"):
        secret_from("X", SecretStr(SEED), tmp_path / "secret")
