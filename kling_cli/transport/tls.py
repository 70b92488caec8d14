"""The one TLS context: the system's trusted authorities, certifi's where the system has none."""

import os
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import certifi

from kling_cli.errors import SetupError
from kling_cli.text import clean

_LOCK = threading.Lock()


def trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Make the context that checks servers; the same object each time, it is costly.

    Raises:
        SetupError: SSL_CERT_FILE or SSL_CERT_DIR names something that cannot be used.
    """
    with _LOCK:
        return _trust(environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", ""))


@cache
def distrust() -> ssl.SSLContext:
    """Make a context without any authority, for exchanges that use no TLS: no server passes it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _trust(file: str, directory: str) -> ssl.SSLContext:
    if file and not Path(file).exists():
        raise _refuse("SSL_CERT_FILE", file, "does not exist")
    # OpenSSL takes a list of directories, and passes over those that are missing.
    if directory and not any(Path(path).is_dir() for path in directory.split(os.pathsep)):
        raise _refuse("SSL_CERT_DIR", directory, "does not exist")
    if file or directory:
        try:
            return ssl.create_default_context(cafile=file or None, capath=directory or None)
        except (ssl.SSLError, OSError):
            variable = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
            raise _refuse(variable, file or directory, "holds no readable certificate") from None
    return _trust_system()


def _trust_system() -> ssl.SSLContext:
    paths = ssl.get_default_verify_paths()
    has_some = paths.cafile or (paths.capath and any(Path(paths.capath).glob("*.0")))
    return ssl.create_default_context(cafile=None if has_some else certifi.where())


def _refuse(variable: str, path: str, fault: str) -> SetupError:
    return SetupError(
        "environment_invalid",
        f"{variable} names {clean(path)}, which {fault}. Nothing was sent.",
        hint=f"Mend or unset {variable}.",
    )
