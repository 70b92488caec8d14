"""Certificates for a simulated server: a valid one, and ones that a client must refuse."""

import ssl
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import trustme

Flaw = Literal["expired", "wrong host", "unknown authority"]

_HOSTS = ("127.0.0.1", "localhost")


def make_context(flaw: Flaw | None = None) -> ssl.SSLContext:
    """Create the context of a server on 127.0.0.1 whose certificate has this flaw, if any."""
    authority = trustme.CA() if flaw == "unknown authority" else _authority()
    if flaw == "expired":
        certificate = authority.issue_cert(
            *_HOSTS,
            not_before=datetime(2020, 1, 1, tzinfo=UTC),
            not_after=datetime(2021, 1, 1, tzinfo=UTC),
        )
    else:
        certificate = authority.issue_cert(
            *(("other.example",) if flaw == "wrong host" else _HOSTS)
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # or PyOpenSSL's
    return context


def write_authority(directory: Path) -> Path:
    """Write the certificate authority for SSL_CERT_FILE, and return the file."""
    path = directory / "authority.pem"
    _authority().cert_pem.write_to_path(str(path))
    return path


@cache
def _authority() -> trustme.CA:
    return trustme.CA()
