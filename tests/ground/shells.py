"""Real shells that complete: a line is typed as a person types it, and what is offered is told."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import pexpect
import pytest

SCRIPTS = Path(__file__).parents[2] / "completions"
_PATIENCE = 20
_WIDE = (50, 4000)
_READY = "shell-is-ready"
# Two keys: one puts every word that is offered into the line, one shows the line between marks.
_OFFER = "\x18a"
_SHOW = "\x18p"
_LIST = "\x04"
_BASH = r"""
set +o history
PS1='$ '
bind 'set enable-bracketed-paste off'
bind -x '"\C-xp": printf "\n<<%s>>\n" "$READLINE_LINE"'
bind '"\C-xa": insert-completions'
"""
_ZSH = r"""
PS1='%% '
unset zle_bracketed_paste
unsetopt prompt_cr prompt_sp beep
zle -C every complete-word _generic
zstyle ':completion:every:*' completer _all_matches _complete
zstyle ':completion:every:*' insert true
bindkey -e '^Xa' every
show() { zle -I; print -r -- "<<$BUFFER>>" }
zle -N show
bindkey -e '^Xp' show
"""


class Ask(Protocol):
    """Ask one of the shells what it offers."""

    def __call__(
        self,
        line: str,
        directory: Path,
        *,
        script: Path = ...,
        environ: Mapping[str, str] | None = ...,
    ) -> Iterable[str]:
        """Give the words that are offered for the last word of a line."""
        ...


def require(program: str) -> str:
    """Find a program, or leave the test out."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(reason=f"{program} is not installed")
    return found


def make_environ(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make an environment in which the installed program is found, and speaks UTF-8."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    return {**os.environ, **own, **(variables or {})}


def ask_bash(
    line: str,
    directory: Path,
    *,
    script: Path = SCRIPTS / "kling.bash",
    environ: Mapping[str, str] | None = None,
) -> list[str]:
    """Give the words that bash offers for the last word of a line."""
    argv = [require("bash"), "--norc", "--noprofile", "-i"]
    setup = f"{_BASH}\n. {shlex.quote(str(script))}\n"
    return _ask(argv, setup, line=line, directory=directory, environ=make_environ(environ))


def ask_zsh(
    line: str,
    directory: Path,
    *,
    script: Path = SCRIPTS / "_kling",
    environ: Mapping[str, str] | None = None,
    autoloads: bool = False,
) -> list[str]:
    """Give the words that zsh offers for the last word of a line.

    Args:
        line: what is typed.
        directory: where it is typed; one of the test's own, inside its temporary directory.
        script: the completion.
        environ: further variables.
        autoloads: let zsh find the script in fpath instead of sourcing it.
    """
    argv = [require("zsh"), "-f", "-i"]
    setup = _set_zsh_up(script, directory, autoloads=autoloads)
    return _ask(argv, setup, line=line, directory=directory, environ=make_environ(environ))


def list_zsh(line: str, directory: Path, *, script: Path = SCRIPTS / "_kling") -> str:
    """Give what zsh lists below a line: words with their descriptions, as a person reads them."""
    argv = [require("zsh"), "-f", "-i"]
    said, _ = _type(
        argv,
        _set_zsh_up(script, directory),
        keys=f"{line}{_LIST}",
        directory=directory,
        environ=make_environ(),
    )
    return said


def ask_fish(
    line: str,
    directory: Path,
    *,
    script: Path = SCRIPTS / "kling.fish",
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Give the words that fish offers for the last word of a line, and their descriptions."""
    lines = f"source {_quote_fish(str(script))}; complete -C {_quote_fish(line)}"
    done = subprocess.run(
        [require("fish"), "--no-config", "-c", lines],
        capture_output=True,
        text=True,
        cwd=directory,
        env=make_environ(environ),
        timeout=_PATIENCE,
        check=True,
    )
    assert done.stderr == ""
    pairs = [offered.partition("\t") for offered in done.stdout.splitlines()]
    return {word: text for word, _, text in pairs}


def _set_zsh_up(script: Path, directory: Path, *, autoloads: bool = False) -> str:
    begin = "autoload -Uz compinit; compinit -u"
    if autoloads:
        return f"fpath=({shlex.quote(str(script.parent))} $fpath)\n{begin} -D\n{_ZSH}"
    # To look through all of zsh's own functions takes half a second; the tests of a run share that.
    dump = shlex.quote(str(directory.parents[1] / "zcompdump"))
    return f"{begin} -C -d {dump}\n{_ZSH}\n. {shlex.quote(str(script))}\n"


def _ask(
    argv: list[str], setup: str, *, line: str, directory: Path, environ: dict[str, str]
) -> list[str]:
    said, shown = _type(argv, setup, keys=f"{line}{_OFFER}", directory=directory, environ=environ)
    assert "kling: " not in said, said
    assert "not found" not in said, said
    kept = len(line) - len(re.split(r"(?<!\\)[ =]", line)[-1])
    assert shown.startswith(line[:kept]), shown
    return shlex.split(shown[kept:])


def _type(
    argv: list[str], setup: str, *, keys: str, directory: Path, environ: dict[str, str]
) -> tuple[str, str]:
    """Type keys into a new shell; give what it then wrote, and the line as it stood at last."""
    start = directory / ".setup"
    start.write_text(setup, encoding="utf-8")
    shell: pexpect.spawn[str] = pexpect.spawn(
        argv[0],
        argv[1:],
        cwd=directory,
        env=environ,
        encoding="utf-8",
        timeout=_PATIENCE,
        dimensions=_WIDE,
    )
    shell.delaybeforesend = None
    try:
        shell.sendline(f". {shlex.quote(str(start))}; rm .setup; echo {_READY[:5]}''{_READY[5:]}")
        shell.expect_exact(_READY)
        # Before its prompt a shell does not read keys yet, and Ctrl-D would be the end of input.
        shell.expect(r"[%$] ")
        shell.send(f"{keys}{_SHOW}")
        shell.expect_exact("<<")
        said = shell.before or ""
        shell.expect_exact(">>")
        return said, shell.before or ""
    finally:
        shell.close(force=True)


def _quote_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
