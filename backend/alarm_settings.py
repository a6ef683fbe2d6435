"""Settings of alarms: whom to tell, and where the backups are whose age is watched."""

from pathlib import Path

from pydantic import SecretStr

from kale_common.errors import ConfigError
from kale_common.settings import HttpUrl, SharedSettings, secret_from

_LEAST_SECRET = 16


class AlarmSettings(SharedSettings):
    """Settings of alarms.

    Attributes:
        alarm_webhook_url: Where alarms are posted; without it they are in log and metrics only.
        alarm_webhook_secret: Signs the posts; shared with whoever receives them. At least 16 characters.
        alarm_webhook_secret_file: A file that holds it instead.
        backup_directory: Where `kale-backend backup run` keeps backups, if on this machine: their age is watched.
    """

    alarm_webhook_url: HttpUrl | None = None
    alarm_webhook_secret: SecretStr | None = None
    alarm_webhook_secret_file: Path | None = None
    backup_directory: Path | None = None

    def webhook(self) -> tuple[str, str] | None:
        """URL and secret of the webhook; None where there is none.

        Raises:
            ConfigError: A webhook without a secret, or with a short one.
        """
        if self.alarm_webhook_url is None:
            return None
        secret = secret_from("ALARM_WEBHOOK_SECRET", self.alarm_webhook_secret, self.alarm_webhook_secret_file)
        text = "" if secret is None else secret.get_secret_value()
        if len(text) < _LEAST_SECRET:
            problem = f"must have at least {_LEAST_SECRET} characters: alarms are signed with it"
            raise ConfigError("ALARM_WEBHOOK_SECRET", problem)
        return self.alarm_webhook_url, text

    def alarm_secrets(self) -> list[str]:
        """Texts that must never be logged; a webhook's URL may hold a token."""
        webhook = self.webhook()
        return [] if webhook is None else list(webhook)
