"""The proxy variables of the environment, named when they cannot be used."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from kling_cli.errors import SetupError

_EXCEPTIONS = "NO_PROXY"
_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", _EXCEPTIONS)
_HINT = "Use http://host:port, or unset the variable; SOCKS proxies are not supported."
_EXCEPTIONS_HINT = "List hosts with commas between and no port: localhost,.example.com,10.0.0.1"


def blame_proxy(environ: Mapping[str, str]) -> SetupError:
    """Say which variables hold what cannot be used, never their values: they may hold passwords."""
    named = [
        name
        for variable in _VARIABLES
        for name in (variable, variable.lower())
        if environ.get(name)
    ]
    # Where each looks well in itself, any of them may be what the library does not take.
    guilty = [name for name in named if not _looks_well(name, environ[name])] or named
    hints = [_HINT] if any(name.upper() != _EXCEPTIONS for name in guilty) else []
    if any(name.upper() == _EXCEPTIONS for name in guilty):
        hints.append(f"{_EXCEPTIONS}: {_EXCEPTIONS_HINT}")
    return SetupError(
        "environment_invalid",
        f"The proxy settings cannot be used: {' or '.join(guilty)}. Nothing was sent.",
        hint=" ".join(hints),
    )


def _looks_well(name: str, value: str) -> bool:
    if name.upper() == _EXCEPTIONS:
        return all(map(_is_host, value.split(",")))
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False  # no port


def _is_host(entry: str) -> bool:
    """Tell what the library takes: a host, also with a port, a plain IPv6 address, or a URL."""
    entry = entry.strip()
    port = entry.partition(":")[2]
    if "://" in entry or not port:
        return entry.isascii() and "[" not in entry
    try:
        return port.isdecimal() or bool(ip_address(entry))
    except ValueError:
        return False
