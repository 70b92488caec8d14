"""Text as the language of manual pages (mdoc) wants it."""

import re
from collections.abc import Sequence

_SPECIAL = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
}
# In running text a hyphen is one, and an apostrophe is one.
_PLAIN = {name: _SPECIAL[name] for name in '\\`^~"'}
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_SENTENCE_END = re.compile(r"(?<=[.?!]) +(?=[A-Z])")


def literal(text: str) -> str:
    """Write what is typed or shown exactly so."""
    return _keep_from_macros(_escape(text, _SPECIAL))


def prose(text: str) -> str:
    """Write running text, a sentence a line, with the options in it in bold."""
    sentences = _SENTENCE_END.split(" ".join(text.split()))
    return "\n".join(_keep_from_macros(_embolden(sentence)) for sentence in sentences)


def bold(text: str) -> str:
    """Write words of a command line in bold."""
    return rf"\fB{_escape(text, _SPECIAL)}\fR"


def italic(text: str) -> str:
    """Write what stands for something else in italics."""
    return rf"\fI{_escape(text, _SPECIAL)}\fR"


def display(lines: Sequence[str]) -> list[str]:
    """Show lines as they are, indented."""
    return [".Bd -literal -offset 2n", *map(literal, lines), ".Ed"]


def items(pairs: Sequence[tuple[str, str]], *, width: str = "indent") -> list[str]:
    """List terms, each as it is to be written, and running text about each."""
    lines = [f".Bl -tag -width {width}"]
    for term, text in pairs:
        lines += [f".It {term}", prose(text)]
    return [*lines, ".El"]


def _embolden(text: str) -> str:
    parts: list[str] = []
    place = 0
    for found in _OPTION.finditer(text):
        parts += [_escape(text[place : found.start()], _PLAIN), bold(found[0])]
        place = found.end()
    return "".join([*parts, _escape(text[place:], _PLAIN)])


def _escape(text: str, special: dict[str, str]) -> str:
    return "".join(
        special.get(character, character) if character.isascii() else rf"\[u{ord(character):04X}]"
        for character in text
    )


def _keep_from_macros(line: str) -> str:
    r"""Begin no line with what would make it a request."""
    return rf"\&{line}" if line[:1] in {".", "'"} else line
