"""The commands `kling help` and `kling completion`."""

import io
import pkgutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Annotated

import typer

from kling_cli.cli import options
from kling_cli.errors import ExitCode, UsageError
from kling_cli.text import clean

_WIDTH = 80
_MEANING_WIDTH = 46

_SHELLS = ("bash", "zsh", "fish", "powershell")
# Typer's scripts for these fall short; what they ask of the program is the same.
_SCRIPTS = {
    # Found in fpath, the file is itself the function that each Tab calls. Files follow --output=,
    # and a quote within quotes, which Typer doubles, is spelled as every zsh reads it.
    "zsh": r"""#compdef kling

_kling_completion() {
  compset -P '--*='
  local answer="$(env _KLING_COMPLETE=complete_zsh \
    _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" kling)"
  eval ${answer//\'\'/\'\\\'\'}
}

if [[ $funcstack[1] = _kling ]]; then
  _kling_completion
else
  compdef _kling_completion kling
fi
""",
    # The program is asked once for each Tab; where it has no word, fish completes file names.
    "fish": r"""function _kling_completion
    set --global _kling_words (env _KLING_COMPLETE=complete_fish \
        _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) kling)
    test -n "$_kling_words"
end

complete --command kling --no-files --condition _kling_completion --arguments '$_kling_words'
""",
}

_VARIABLES = (
    ("KLING_TOKEN_FILE", "a file that holds the token; KLING_TOKEN takes precedence"),
    ("KLING_CONFIG_DIR", "the directory of the settings file, as an absolute path"),
    ("KLING_STATE_DIR", "the directory of the journal, as an absolute path"),
    ("NO_COLOR", "no colour, no animation, no escape sequences"),
    ("NO_PROGRESS, CI", "either one turns the animation off"),
    ("GITHUB_ACTIONS", "if true, errors are also workflow annotations"),
    (
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "the proxy between this machine and the service, and the hosts that need none",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "the certificate authorities to trust"),
)


Shell = Annotated[
    str,
    typer.Argument(
        metavar="SHELL",
        help="bash, zsh, fish or powershell.",
        autocompletion=lambda: list(_SHELLS),
    ),
]
Topic = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TOPIC...]",
        help="A command, or exit-codes, environment or schema.",
        autocompletion=lambda: list(_TOPICS),
    ),
]


def show_help(
    context: typer.Context,
    topic: Topic = None,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show the help of a command or a topic.

    kling help
    kling help config set
    kling help exit-codes
    kling help environment
    kling help schema
    """
    run = options.configure(context)
    words = " ".join(topic or ())
    page = io.StringIO()
    is_direct = run.output.is_terminal and not json
    with redirect_stdout(run.stdout if is_direct else page):
        print(_TOPICS[words]() if words in _TOPICS else _find_help(context, topic or []))
    if json:
        run.output.record({"topic": words, "text": page.getvalue()})
    elif not is_direct:
        run.output.line(page.getvalue().rstrip("\n"))
    return 0


def completion(
    context: typer.Context,
    shell: Shell,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the completion script of a shell.

    eval "$(kling completion bash)"       in ~/.bashrc
    eval "$(kling completion zsh)"        in ~/.zshrc, below compinit
    kling completion fish | source        in ~/.config/fish/config.fish
    kling completion powershell | Out-String | Invoke-Expression

    For PowerShell, put that line into $PROFILE. It completes commands, options,
    scenes, settings, files and the task ids of this machine, offline.

    The script can also be saved where the shell looks for such files, as
    ~/.local/share/bash-completion/completions/kling. pipx and uv may have put
    it there already.
    """
    run = options.configure(context)
    script = _render_script(shell)
    if json:
        run.output.record({"shell": shell, "script": script})
    else:
        run.output.line(script.rstrip("\n"))
    return 0


def _render_exit_codes() -> str:
    lines = [f"CODE  {'MEANING':{_MEANING_WIDTH}}  SAME COMMAND AGAIN", ""]
    for code in ExitCode:
        first, *others = textwrap.wrap(code.meaning, _MEANING_WIDTH)
        lines.append(f"{code.value:4}  {first:{_MEANING_WIDTH}}  {code.again}")
        lines += [f"      {line}" for line in others]
    lines += ["", "With several pictures you get the code that is most costly to ignore."]
    return "\n".join(lines)


def _render_environment() -> str:
    from kling_cli.settings import KEYS

    lines = ["Settings, the first that is set: option, environment variable, settings file"]
    lines += ["(kling config set KEY), default.", ""]
    for key in KEYS:
        default = f"; default {key.default_text}" if key.default_text else ""
        sources = " or ".join(filter(None, (key.environment, key.flag)))
        lines += _render_item(f"{sources} (key {key.name})", key.description + default)
    lines += ["", "Other variables:", ""]
    for names, description in _VARIABLES:
        lines += _render_item(names, description)
    return "\n".join(lines)


def _render_item(title: str, description: str) -> list[str]:
    return [f"  {title}", textwrap.indent(textwrap.fill(description, _WIDTH - 4), "    ")]


def _render_schema() -> str:
    return (pkgutil.get_data("kling_cli", "result.schema.json") or b"").decode()


_TOPICS: Mapping[str, Callable[[], str]] = {
    "exit-codes": _render_exit_codes,
    "environment": _render_environment,
    "schema": _render_schema,
}


def _find_help(context: typer.Context, words: Sequence[str]) -> str:
    """Return the help of a command; where rich writes it itself, that is empty."""
    place = context.find_root()
    for word in words:
        below = getattr(place.command, "commands", {})
        if word not in below:
            raise _unknown_topic(word, [*below, *(() if place.parent else _TOPICS)])
        place = typer.Context(below[word], info_name=word, parent=place)
    return place.get_help()


def _unknown_topic(word: str, known: list[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(word.lower(), known, n=1)
    message = f"There is no help topic '{clean(word, limit=40)}'."
    if near:
        message += f" Did you mean {near[0]}?"
    hint = f"Topics: {', '.join(known)}." if known else "kling help COMMAND"
    return UsageError("unknown_topic", message, hint=hint)


def _render_script(shell: str) -> str:
    if shell not in _SHELLS:
        message = f"Unknown shell '{clean(shell, limit=40)}'."
        hint = f"Choose one of {', '.join(_SHELLS)}."
        raise UsageError("unknown_shell", message, hint=hint)
    if shell in _SCRIPTS:
        return _SCRIPTS[shell]
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # no __all__

    script = get_completion_script(prog_name="kling", complete_var="_KLING_COMPLETE", shell=shell)
    # Readline then quotes what it inserts, such as let's_ride.
    return script.replace("complete -o default", "complete -o default -o filenames") + "\n"
