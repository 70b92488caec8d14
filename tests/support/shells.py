"""Test completion in real shells, with lines typed as by a user."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

SCRIPTS = Path(__file__).parents[2] / "completions"
SHELLS = ("bash", "zsh", "fish")
_SECONDS = 30
_READY = "shell-is-ready"
# Two keys: one inserts every offered word into the line, one shows the line between marks.
_OFFER = "\x18a"
_SHOW = "\x18p"
_SETUP = {
    "bash": rf"""
set +o history
PS1='$ '
bind 'set enable-bracketed-paste off'
bind -x '"\C-xp": printf "\n<<%s>>\n" "$READLINE_LINE"'
bind '"\C-xa": insert-completions'
. {shlex.quote(str(SCRIPTS / "kling.bash"))}
""",
    "zsh": rf"""
PS1='%% '
unset zle_bracketed_paste
unsetopt prompt_cr prompt_sp beep
fpath=({shlex.quote(str(SCRIPTS))} $fpath)
autoload -Uz compinit; compinit -u -D
bindkey -e
zle -C every complete-word _generic
zstyle ':completion:every:*' completer _all_matches _complete
zstyle ':completion:every:*' insert true
bindkey '^Xa' every
show() {{ zle -I; print -r -- "<<$BUFFER>>" }}
zle -N show
bindkey '^Xp' show
""",
    "fish": f"source {shlex.quote(str(SCRIPTS / 'kling.fish'))}",
}


def require(program: str) -> str:
    """Find a program, or skip the test."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(reason=f"{program} is not installed")
    return found


def make_environ() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def list_words(shell: str, line: str, directory: Path, *, profile: str = "") -> list[str]:
    """List the words that a shell offers for the last word of a line."""
    if shell == "fish":
        return [word.partition("\t")[0] for word in ask_fish(line, directory, profile=profile)]
    shown = type_keys(shell, f"{line}{_OFFER}", directory, profile=profile)
    kept = len(line) - len(re.split(r"(?<!\\)[ =]", line)[-1])
    assert shown.startswith(line[:kept]), shown
    return shlex.split(shown[kept:])


def ask_fish(line: str, directory: Path, *, profile: str = "") -> list[str]:
    quoted = line.replace("\\", "\\\\").replace("'", "\\'")
    done = subprocess.run(
        [
            require("fish"),
            "--no-config",
            "-c",
            f"{_SETUP['fish']}\n{profile}\ncomplete -C '{quoted}'",
        ],
        capture_output=True,
        text=True,
        cwd=directory,
        env=make_environ(),
        timeout=_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def type_keys(shell: str, keys: str, directory: Path, *, profile: str = "") -> str:
    """Type keys into a new bash or zsh, and read the resulting line."""
    argv = ["--norc", "--noprofile", "-i"] if shell == "bash" else ["-f", "-i"]
    start = directory / ".setup"
    start.write_text(f"{_SETUP[shell]}\n{profile}\n", encoding="utf-8")
    child: pexpect.spawn[str] = pexpect.spawn(
        require(shell),
        argv,
        cwd=directory,
        env=make_environ(),
        encoding="utf-8",
        timeout=_SECONDS,
        dimensions=(50, 4000),
    )
    child.delaybeforesend = None
    try:
        child.sendline(f". {shlex.quote(str(start))}; rm .setup; echo {_READY[:5]}''{_READY[5:]}")
        child.expect_exact(_READY)
        # A shell reads keys only after its prompt.
        child.expect(r"[%$] ")
        child.send(f"{keys}{_SHOW}")
        child.expect_exact("<<")
        assert "rror" not in (child.before or ""), child.before
        child.expect_exact(">>")
        return child.before or ""
    finally:
        child.close(force=True)
