"""The secret in the home: changed for a new one, while what the old one signed stays good.

The one rule: at no moment is there a receipt in the world that nobody believes, until an operator
says that the old secret is to be forgotten.
"""

import secrets
from pathlib import Path

from service.base.config import SECRET_FILES, Settings
from service.base.errors import ConfigError
from service.base.files import draft, keep


def rotate(settings: Settings) -> None:
    """Put a new secret in the place of the old, which is believed as long as it is kept.

    Running servers go on with what they have read; they take the new one when they start.

    Raises:
        ConfigError: the secret comes from the environment, or the one before it is still kept.
    """
    current, previous = _files(settings)
    if previous.exists():
        raise ConfigError(
            f"{previous} is there still: what was signed before the last change would be void;"
            " `hamgate secret forget` first"
        )
    old = settings.signing_key()
    try:
        with draft(previous) as file:
            file.write_bytes(old)
        with draft(current) as file:
            file.write_text(secrets.token_urlsafe(48))
    except OSError as error:
        raise ConfigError(f"cannot write {settings.home}: {error.strerror}") from error


def forget(settings: Settings) -> bool:
    """Forget the secret before the present one; tell whether there was one.

    Raises:
        ConfigError: the secret comes from the environment, or the file cannot be removed.
    """
    _, previous = _files(settings)
    try:
        there = previous.exists()
        previous.unlink(missing_ok=True)
        keep(settings.home)
    except OSError as error:
        raise ConfigError(f"cannot remove {previous}: {error.strerror}") from error
    return there


def _files(settings: Settings) -> tuple[Path, Path]:
    if settings.secret:
        raise ConfigError(
            "the secret is HAMGATE_SECRET: put the new one there and the old one into"
            " HAMGATE_SECRET_PREVIOUS"
        )
    return settings.home / SECRET_FILES[0], settings.home / SECRET_FILES[1]
