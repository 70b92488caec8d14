"""A secret hidden wherever an answer quotes it, however it is spelt there."""

import re
from functools import lru_cache

_MASK = "***"
# A shorter one is no secret, but a word that answers are full of: the sandbox takes "sandbox".
_SHORTEST_SECRET = 8


def hide(text: str, secret: str) -> str:
    """Hide a secret in a text; gateways quote a token that they refuse."""
    return _find_spellings(secret).sub(_MASK, text) if len(secret) >= _SHORTEST_SECRET else text


@lru_cache(maxsize=8)
def _find_spellings(secret: str) -> re.Pattern[str]:
    """Make the pattern of a secret whose characters may be escaped as JSON, URLs and HTML do."""
    return re.compile("".join(map(_spell, secret)), re.IGNORECASE)


def _spell(character: str) -> str:
    number = ord(character)
    return (
        rf"(?:\\*{re.escape(character)}|\\+u{number:04x}|\\+x{number:02x}|%(?:25)*{number:02x}"
        rf"|&#0*{number};|&#x0*{number:x};)"
    )
