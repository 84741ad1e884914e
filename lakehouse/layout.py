"""The folders of a lake, and who may read them."""

from lakehouse.errors import LakeError
from lakehouse.settings import Settings

RAW_ZONE = ("landing", "bronze", "silver", "quarantine", "staging")
"""Folders that hold values as delivered: mode 0700, for the lake's own user only."""

OPEN = ("gold", "ops", "pages", "logs")
"""Folders without sensitive values."""


def prepare(settings: Settings) -> None:
    """Make the folders that are missing and close the raw zone. Raises LakeError when the disk won't."""
    try:
        for folder in (*(settings.home / name for name in (*RAW_ZONE, *OPEN)), settings.inbox):
            folder.mkdir(parents=True, exist_ok=True)
        for name in RAW_ZONE:
            if (settings.home / name).stat().st_mode & 0o077:
                (settings.home / name).chmod(0o700)
    except OSError as error:
        raise LakeError(
            f"can't be made ({error.strerror})", where=str(error.filename), hint="give access, or set CITYLAKE_HOME"
        ) from error
