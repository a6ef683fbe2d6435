"""Commands that change rows themselves, beside a backend: the audit trail names the machine's user who ran them."""

import os
import pwd
from contextlib import AbstractContextManager

from backend.domain.access import acting_as


def by_hand() -> AbstractContextManager[None]:
    """Attributes what happens inside to the user of the machine who runs this command."""
    return acting_as(f"command of {_user()}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, users often have no name
        return f"user {os.getuid()}"
