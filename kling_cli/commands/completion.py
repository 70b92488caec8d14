"""The command `kling completion`."""

import io
import pkgutil
from typing import Annotated

import typer

from kling_cli import options
from kling_cli.errors import UsageError
from kling_cli.text import clean

SCRIPTS = {
    "bash": "kling.bash",
    "zsh": "_kling",
    "fish": "kling.fish",
    "powershell": "kling.ps1",
}

Shell = Annotated[
    str, typer.Argument(metavar="SHELL", help="One of bash, zsh, fish and powershell.")
]


def completion(
    context: typer.Context,
    shell: Shell,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the script by which a shell completes kling's words.

    \b
      eval "$(kling completion bash)"       in ~/.bashrc
      eval "$(kling completion zsh)"        in ~/.zshrc, below compinit
      kling completion fish | source        in ~/.config/fish/config.fish
      kling completion powershell | Out-String | Invoke-Expression

    For PowerShell, put that line into $PROFILE. The script offers commands,
    options, scenes with their titles, settings and files; and to kling status
    and kling wait, the tasks of this machine. It asks no service.

    Instead, its text can be kept as a file where the shell looks for such
    scripts, as ~/.local/share/bash-completion/completions/kling. Where pipx or
    uv has installed kling, such files may be in their place already.
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    script = _read_script(shell)
    if json:
        session.printer.write_record({"shell": shell, "script": script})
        return 0
    stream = session.world.stdout
    if isinstance(stream, io.TextIOWrapper):
        # A shell reads the titles as UTF-8, and lines without \r, whatever this system would write.
        stream.reconfigure(encoding="utf-8", newline="\n")
    for line in script.splitlines():
        session.printer.write_line(line)
    return 0


def _read_script(shell: str) -> str:
    name = SCRIPTS.get(shell)
    if name is None:
        raise UsageError(
            "unknown_shell",
            f"There is no completion for '{clean(shell, limit=40)}'.",
            hint=f"The shells are {', '.join(SCRIPTS)}.",
        )
    try:
        script = pkgutil.get_data("kling_cli", f"completions/{name}")
    except OSError:
        # A checkout keeps them beside the package; only a wheel carries them inside.
        script = pkgutil.get_data("kling_cli", f"../completions/{name}")
    return (script or b"").decode()
