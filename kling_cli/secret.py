"""The token: a value that every careless way of printing shows as stars."""

import re

from kling_cli.errors import SetupError

# RFC 6750 section 2.1: what an HTTP header may carry after "Bearer ".
_ALLOWED = re.compile(r"[A-Za-z0-9\-._~+/:]+=*")
_SCHEME = re.compile(r"\Abearer(\s+|$)", re.IGNORECASE)
_LONGEST = 4096
# Masked, a token still has to be told apart from another; a short one shows nothing of itself.
_SHOWN = 4
_SHORT = 12


class Token:
    """A bearer token that knows where it came from and never shows itself."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, *, source: str) -> None:
        self._value = value
        self.source = source

    @classmethod
    def parse(cls, text: str, *, source: str) -> "Token":
        """Read a token as people paste it: with a final newline, with `Bearer ` in front.

        Raises:
            SetupError: a character is in it that no header may carry; the place is named, the
                token is not.
        """
        value = _SCHEME.sub("", text.strip(), count=1)
        if len(value) > _LONGEST:
            raise SetupError(
                "token_invalid",
                f"The token from {source} has {len(value)} characters; "
                f"a token has {_LONGEST} at most.",
                hint="Is this the right file? kling config set token asks for it.",
            )
        if not _ALLOWED.fullmatch(value):
            raise SetupError(
                "token_invalid",
                f"The token from {source} {_describe_fault(value)}.",
                hint="Copy the token again, without quotes: kling config set token",
            )
        return cls(value, source=source)

    def reveal(self) -> str:
        """Hand out the value, for the Authorization header and the settings file alone."""
        return self._value

    @property
    def masked(self) -> str:
        """The last four characters behind stars, or stars alone for a short token."""
        return "****" + (self._value[-_SHOWN:] if len(self._value) >= _SHORT else "")

    def derive(self, fingerprint: str) -> str:
        """Derive the external task id of a request: the same from every machine with this token."""
        return "kling-" + self._hash(fingerprint)[:26]

    def tag(self, base_url: str) -> str:
        """Make the mark that tells later whether it was this token that bought at a base URL."""
        return self._hash(base_url)[:10]

    def _hash(self, text: str) -> str:
        import base64
        import hmac

        digest = hmac.digest(self._value.encode(), text.encode(), "sha256")
        return base64.b32encode(digest).decode().lower()

    def __repr__(self) -> str:
        return f"Token({self.masked!r}, source={self.source!r})"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled")


def _describe_fault(value: str) -> str:
    for place, character in enumerate(value, start=1):
        if not _ALLOWED.fullmatch(character) and character != "=":
            return f"contains character U+{ord(character):04X} at {place}"
    return "is empty" if not value else "has '=' in its middle"
