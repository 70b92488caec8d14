"""Where the stored token goes: to the host of the base URL that is stored beside it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from kling_cli.settings.configuration import read_for_change
from kling_cli.settings.keys import BASE_URL, TOKEN
from kling_cli.settings.values import InvalidValueError
from kling_cli.text import clean


@contextmanager
def watch_token(path: Path, warn: Callable[[str], None]) -> Generator[None]:
    """Warn if what is done to the settings file meanwhile gives the stored token another host.

    Raises:
        SetupError: the file must not be touched.
    """
    before = _find_host(path)
    yield
    after = _find_host(path)
    if before is not None and after and after != before:
        warn(
            f"warning: The stored token will now go to {clean(after)}. "
            "If it is not for that host: kling config set token"
        )


def _find_host(path: Path) -> str | None:
    """Tell host and port; empty where the token goes nowhere, None where none is stored."""
    values = read_for_change(path)
    if TOKEN.name not in values:
        return None
    try:
        return urlsplit(BASE_URL.parse(str(values.get(BASE_URL.name, BASE_URL.default)))).netloc
    except InvalidValueError:
        return ""
