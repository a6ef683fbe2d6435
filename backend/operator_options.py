"""Options of the commands that call a running backend."""

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from kale_common.errors import ConfigError

TOKEN_VARIABLE = "KALE_TOKEN"  # noqa: S105  (a variable's name)

BackendAddress = Annotated[
    str, typer.Option("--backend", envvar="KALE_BACKEND", help="The running backend: host:port, or https://host:port.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        help=f"A file (mode 600) with a token, where the backend asks for one; else {TOKEN_VARIABLE} is taken."
    ),
]


def token_from(file: Path | None) -> str | None:
    """The token in the file, or in the environment; None if there is none.

    Raises:
        ConfigError: the file cannot be read, or others can.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "not text"
        raise ConfigError("--token-file", f"cannot read {file}: {problem}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError("--token-file", f"{file} can be read by others; run chmod 600 on it")
    return text or None
