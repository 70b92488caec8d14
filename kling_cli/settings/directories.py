"""Where settings and journal live on this machine; the only user of platformdirs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kling_cli.errors import SetupError
from kling_cli.text import clean

CONFIG_VARIABLE = "KLING_CONFIG_DIR"
STATE_VARIABLE = "KLING_STATE_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """The directories for settings and journal; None where this user has no home directory."""

    config: Path | None
    state: Path | None

    @property
    def config_file(self) -> Path | None:
        """The settings file, whether or not it exists."""
        return self.config / "config.toml" if self.config else None

    def require_config_file(self) -> Path:
        """Tell the settings file, for the commands that are about it.

        Raises:
            SetupError: this user has no home directory, and no variable names another.
        """
        if self.config_file is None:
            raise SetupError(
                "config_directory_unknown",
                "There is no place for settings: this user has no home directory.",
                hint=f"Name a directory in {CONFIG_VARIABLE}, and one for the journal of what was "
                f"bought in {STATE_VARIABLE}.",
            )
        return self.config_file


def find_directories(environ: Mapping[str, str]) -> Directories:
    """Find the directories that variables name, else those that this system prescribes.

    Raises:
        SetupError: a variable names a relative path.
    """
    config = _find_named(environ, CONFIG_VARIABLE)
    state = _find_named(environ, STATE_VARIABLE)
    if config is None or state is None:
        # It raises RuntimeError for a user without a home directory, as containers have them.
        with suppress(RuntimeError):
            import platformdirs

            config = config or Path(platformdirs.user_config_dir("kling", appauthor=False))
            state = state or Path(platformdirs.user_state_dir("kling", appauthor=False))
    return Directories(config=config, state=state)


def _find_named(environ: Mapping[str, str], variable: str) -> Path | None:
    named = environ.get(variable, "")
    if not named.strip():
        return None
    path = Path(named)
    if not path.is_absolute():
        # Another working directory would mean another journal, and so a second purchase.
        raise SetupError(
            "invalid_setting",
            f"{variable}: must be an absolute path. It is '{clean(named)}'.",
        )
    return path
