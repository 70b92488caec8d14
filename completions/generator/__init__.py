"""The files that are generated from the program's commands, each as text."""

from pathlib import Path

from generator import bash, fish, manual, powershell, zsh
from generator.commands import read_program
from generator.words import list_words

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "kling.bash": bash.write,
    "_kling": zsh.write,
    "kling.fish": fish.write,
    "kling.ps1": powershell.write,
}


def build() -> dict[Path, str]:
    """Write each file as the program is now, by its path."""
    program = read_program()
    words = list_words()
    scripts = {
        ROOT / "completions" / name: write(program, words) for name, write in SCRIPTS.items()
    }
    pages = {ROOT / "man" / name: text for name, text in manual.write(program).items()}
    return scripts | pages
