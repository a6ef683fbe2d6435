"""A pooler's settings: names, meanings and mistakes."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

import pooler
from kale_common.errors import ConfigError
from pooler.config import PoolerSettings, load_settings

ROOT = Path(pooler.__file__).parent
NAMES = [name.upper() for name in PoolerSettings.model_fields]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_the_example_names_every_setting_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text()
    assert sorted(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)) == sorted(NAMES)


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text()
    shown = re.sub(r"^#([A-Z_]+=)", r"\1", text, flags=re.MULTILINE)
    file = tmp_path / ".env"
    file.write_text(shown)
    settings, defaults = load_settings(file), load_settings(None)
    different = {name for name in PoolerSettings.model_fields if getattr(settings, name) != getattr(defaults, name)}
    # Whose default depends on something else, or that have none.
    assert different == {
        "fee_account_secret_file",
        "backend_token_file",
        "machine_cpu_cores",
        "work_channels",
        "tls_directory",
    }


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BACKEND_API_URL", "localhost:3000", "http://host:port"),
        ("BACKEND_API_URL", "http://localhost:3000/api", "without a path"),
        ("API_TIMEOUT_MS", "0", "greater than or equal to 100"),
        ("MAX_WORK_PROCESSES", "many", "valid integer"),
        ("MAX_RETRY_ATTEMPTS", "-1", "greater than or equal to 0"),
        ("POOLER_ID", "two words", "1 to 64 characters"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("BIND_ADDRESS", "10.0.0.1", "loopback"),
        ("WORK_TIMEOUT_MS", "1.5", "valid integer"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_variable(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        load_settings(None)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_both_listeners_on_one_port_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8001")
    with pytest.raises(ConfigError, match="PORT and HTTP_PORT"):
        load_settings(None)


def test_a_secret_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "S" + "C" * 55
    monkeypatch.setenv("FEE_ACCOUNT_SECRET", secret)
    settings = load_settings(None)
    assert settings.fee_secret().get_secret_value() == secret
    assert secret not in f"{settings!r} {settings}"


def test_no_more_farmers_are_asked_for_than_can_be_searched_and_submitted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_WORK_PROCESSES", "10")
    settings = load_settings(None)
    assert settings.channels == 10
    assert [settings.farmers(channels) for channels in (1, 4, 5, 100)] == [2, 8, 10, 10]


def test_token_is_sent_to_this_machine_or_over_tls_only() -> None:
    def settings(url: str) -> PoolerSettings:
        return PoolerSettings(_env_file=None, backend_api_url=url, backend_token=SecretStr("kale_x"))

    assert settings("http://127.0.0.1:3000").token() == "kale_x"
    assert settings("https://pool.example:3000").token() == "kale_x"
    with pytest.raises(ConfigError, match="BACKEND_TOKEN: would cross the network in clear") as caught:
        settings("http://pool.example:3000").token()
    assert "kale_x" not in str(caught.value) + repr(settings("http://pool.example:3000"))
