"""Web addresses that the service is given: well formed, without a secret, and within its reach."""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

# A resolver: host and port to addresses, none where the name is not known here.
Resolve = Callable[[str, int], Sequence[str]]

DEFAULT_PORTS = {"http": 80, "https": 443}
# Longer than any server takes; what is longer is most likely a picture and no address.
_MOST_CHARACTERS = 1 << 16
_HOST = re.compile(r"[a-z0-9_.-]+")
_LOCAL_ENDINGS = ("local", "localhost", "internal", "lan", "home.arpa")
# The last four bytes of these are the IPv4 address that a gateway translates to.
_TRANSLATED = IPv6Network("64:ff9b::/96")
# Set aside for benchmarks. A proxy on this machine answers with one of these for every name, and
# learns from it which name to connect to: nothing follows from it for the name.
_STAND_INS = IPv4Network("198.18.0.0/15")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why an address cannot be used, in words that go on from the address, and a way out."""

    code: str
    text: str
    hint: str = ""


def find_fault(url: str) -> Fault | None:
    """Find what is wrong with an address as it is written; nothing is looked up.

    The code is `url_invalid` or `url_with_credentials`.
    """
    return _find_local(url) or _find_misspelling(url) or _find_wrong_part(url)


def judge_host(host: str) -> str | None:
    """Say why the service cannot reach this host, by its name or literal address alone.

    Literal addresses count in every spelling that the system takes, such as `0x7f.1`.
    """
    address = _read_address(host)
    return _judge_name(host) if address is None else _judge_address(address)


def look_up(host: str, port: int) -> Sequence[str]:
    """Resolve a host by the system; nothing where it cannot, as behind some proxies."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return [str(address[0]) for *_, address in found]


def resolve_public(host: str, port: int, *, resolve: Resolve = look_up) -> str | None:
    """Say why the service cannot reach this host, by its name and every address that it has.

    A name that does not resolve is no problem here: whoever connects can tell better.
    """
    if _read_address(host) is None and (problem := _judge_name(host)):
        return problem
    addresses = [_read_address(text) for text in resolve(host, port)]
    problems = (
        _judge_address(address)
        for address in addresses
        if address is not None and not _is_stand_in(host, address)
    )
    return next((problem for problem in problems if problem), None)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine's own loopback, by its name or literal address."""
    address = _read_address(host)
    if address is None:
        return _fold(host).rpartition(".")[2] == "localhost"
    return address.is_loopback


def judge_callback_url(url: str, *, allow_private: bool = False) -> tuple[str | None, str | None]:
    """Judge where the service shall report to; nothing is looked up.

    Args:
        url: the address.
        allow_private: the service itself is on this machine, and reaches what is on it.

    Returns:
        The problem, in words that go on from the option's name, and a warning; None for each that
        there is not. Neither quotes the address: its query may be a secret.
    """
    if fault := find_fault(url):
        return f"cannot be used: {fault.text}.", None
    parts = urlsplit(url)
    problem = None if allow_private else judge_host(parts.hostname or "")
    if problem:
        return f"cannot be used: the service cannot reach it, {problem}.", None
    if parts.scheme == "http":
        warning = "The callback URL is plain http: others can read and change what goes there."
        return None, warning
    return None, None


def _find_local(url: str) -> Fault | None:
    start = url[:5].lower()
    if start == "data:":
        return _invalid("it is the picture itself, not its address", hint="Give the file's path.")
    if start == "file:":
        return _invalid("the service has no access to files here", hint="Give the file's path.")
    return None


def _find_misspelling(url: str) -> Fault | None:
    if len(url) > _MOST_CHARACTERS:
        return _invalid(f"it has more than {_MOST_CHARACTERS:,} characters")
    odd = next((character for character in url if _is_odd(character)), "")
    return _invalid(_name_odd(odd)) if odd else None


def _find_wrong_part(url: str) -> Fault | None:
    try:
        parts = urlsplit(url)
        is_complete = parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:
        return _invalid("its host or port is not valid")
    if parts.scheme not in DEFAULT_PORTS:
        return _invalid("it does not begin with https:// or http://")
    if "@" in parts.netloc:
        return Fault(
            code="url_with_credentials",
            text="it holds a user name or password, which the service would see",
            hint="Use an address that works without one.",
        )
    return None if is_complete else _invalid("its host or port is not valid")


def _invalid(text: str, *, hint: str = "") -> Fault:
    return Fault(code="url_invalid", text=text, hint=hint)


def _is_odd(character: str) -> bool:
    # Some programs read a backslash as a slash: two readers would see two hosts.
    return character.isspace() or not character.isprintable() or character == "\\"


def _name_odd(character: str) -> str:
    if character == " ":
        return "it contains a space: write it as %20"
    return f"it contains the character U+{ord(character):04X}, which no address may"


def _fold(host: str) -> str:
    """Bring a host name to its plain form, as a resolver does; empty if it is none."""
    try:
        return host.removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def _is_host(host: str) -> bool:
    if ":" in host:
        # With a zone it is an address on one network link.
        return "%" not in host and _read_address(host) is not None
    return _HOST.fullmatch(_fold(host)) is not None


def _read_address(host: str) -> IPv4Address | IPv6Address | None:
    name = _fold(host)
    try:
        address = ip_address(name)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(name))
        except (OSError, ValueError):
            return None
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _judge_name(host: str) -> str | None:
    name = _fold(host)
    if name == "localhost":
        return "localhost is this machine itself"
    if "." not in name:
        return f"{name or 'a host without a name'} is a name of the local network"
    ending = next((ending for ending in _LOCAL_ENDINGS if name.endswith(f".{ending}")), None)
    return f"names in .{ending} are known in the local network only" if ending else None


def _judge_address(address: IPv4Address | IPv6Address) -> str | None:
    if address.is_loopback:
        return f"{address} is this machine itself"
    if address.is_link_local:
        return f"{address} is known on one network link only"
    if address.is_multicast:
        return f"{address} is a multicast address"
    if not address.is_global or address.is_reserved or _is_site_local(address):
        return f"{address} is a private or reserved address"
    return None


def _is_site_local(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address.is_site_local


def _is_stand_in(host: str, address: IPv4Address | IPv6Address) -> bool:
    return _read_address(host) is None and address in _STAND_INS
