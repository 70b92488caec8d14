"""The commands `kling help` and `kling completion`."""

import pkgutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Literal

import typer

from kling_cli.cli import options
from kling_cli.errors import ExitCode

_WIDTH = 80
_MEANING_WIDTH = 46

_VARIABLES = (
    ("KLING_TOKEN_FILE", "a file that holds the token; KLING_TOKEN takes precedence"),
    ("KLING_CONFIG_DIR", "the directory of the settings file, as an absolute path"),
    ("KLING_STATE_DIR", "the directory of the journal, as an absolute path"),
    ("NO_COLOR", "no colour, no animation, no escape sequences"),
    ("NO_PROGRESS, CI", "either one turns off the animation"),
    ("GITHUB_ACTIONS", "if true, errors are also printed as workflow annotations"),
    (
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "the proxy to use, and the hosts to reach without it",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "the certificate authorities to trust"),
)


def help(
    context: typer.Context,
    topic: list[str] | None = options.argument(
        "[TOPIC...]", "A command, or exit-codes, environment or schema.", lambda: list(_TOPICS)
    ),
    *,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Show help for a command or a topic.

    kling help
    kling help config set
    kling help exit-codes
    kling help environment
    kling help schema
    """
    run = options.configure(context)
    words = " ".join(topic or ())
    if words in _TOPICS:
        run.output.line(_TOPICS[words]())
    else:
        # The same text as the command's own --help.
        root = context.find_root().command
        root.main([*(topic or ()), "--help"], prog_name="kling", standalone_mode=False)
    return 0


def completion(
    context: typer.Context,
    shell: Literal["bash", "zsh", "fish", "powershell"] = options.argument(
        "SHELL", "bash, zsh, fish or powershell."
    ),
    *,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Print the completion script for a shell.

    eval "$(kling completion bash)"       in ~/.bashrc
    eval "$(kling completion zsh)"        in ~/.zshrc, below compinit
    kling completion fish | source        in ~/.config/fish/config.fish
    kling completion powershell | Out-String | Invoke-Expression

    For PowerShell, add that line to $PROFILE. Completion works offline and covers
    commands, options, scenes, settings, files and the task ids of this machine.

    You can also save the script where your shell looks for completions, such as
    ~/.local/share/bash-completion/completions/kling. pipx may already have put
    it there.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # no __all__

    run = options.configure(context)
    script = get_completion_script(prog_name="kling", complete_var="_KLING_COMPLETE", shell=shell)
    # Readline then quotes what it inserts, such as let's_ride.
    script = script.replace("complete -o default", "complete -o default -o filenames").strip()
    if shell == "zsh":
        # Files follow --output=, and Typer doubles a quote within quotes.
        script = script.replace(
            "  eval", "  setopt local_options rc_quotes\n  compset -P '--*='\n  eval"
        )
        # Found in fpath, the file is itself the function that the first Tab calls.
        script += "\nif [[ $funcstack[1] = _kling ]]; then _kling_completion; fi"
    run.output.line(script)
    return 0


def _render_exit_codes() -> str:
    lines = [f"CODE  {'MEANING':{_MEANING_WIDTH}}  SAME COMMAND AGAIN", ""]
    for code in ExitCode:
        first, *others = textwrap.wrap(code.meaning, _MEANING_WIDTH)
        lines.append(f"{code.value:4}  {first:{_MEANING_WIDTH}}  {code.again}")
        lines += [f"      {line}" for line in others]
    lines += ["", "With several pictures, the exit code is the one most costly to ignore."]
    return "\n".join(lines)


def _render_environment() -> str:
    from kling_cli.settings import KEYS

    order = "option, environment\nvariable, settings file (kling config set KEY), default."
    lines = [f"Settings. The first of these that is set wins: {order}", ""]
    for key in KEYS:
        default = f"; default {key.default}" if key.default else ""
        sources = " or ".join(filter(None, (key.environment, key.flag)))
        lines += _render_item(f"{sources} (key {key.name})", key.description + default)
    lines += ["", "Other variables:", ""]
    for names, description in _VARIABLES:
        lines += _render_item(names, description)
    return "\n".join(lines)


def _render_item(title: str, description: str) -> list[str]:
    return [f"  {title}", textwrap.indent(textwrap.fill(description, _WIDTH - 4), "    ")]


def _render_schema() -> str:
    return (pkgutil.get_data("kling_cli", "result.schema.json") or b"").decode().rstrip()


_TOPICS: Mapping[str, Callable[[], str]] = {
    "exit-codes": _render_exit_codes,
    "environment": _render_environment,
    "schema": _render_schema,
}
