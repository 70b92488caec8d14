"""One TLS context: the system's authorities or the named ones, and a fault names its variable."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from ground.tls import write_authority

from kling_cli.errors import ExitCode, SetupError
from kling_cli.transport.tls import distrust, trust


def test_the_context_is_made_once() -> None:
    """Loading the authorities is costly, so all connections share one context."""
    assert trust({}) is trust({"SSL_CERT_FILE": ""})


def test_the_systems_authorities_are_trusted() -> None:
    """Without any setting there are authorities, and names and certificates are checked."""
    context = trust({})
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    paths = ssl.get_default_verify_paths()
    assert context.cert_store_stats()["x509_ca"] or paths.capath


def test_without_a_system_store_certifis_is_trusted(tmp_path: Path) -> None:
    """On a machine that brings no authorities, such as a bare container, https works too."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from kling_cli.transport.tls import trust; print(len(trust({}).get_ca_certs()))",
        ],
        env={**os.environ, "SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert int(told.stdout) > 50


def test_distrust_trusts_nobody() -> None:
    """A context without authorities lets no server pass, should one ever be asked with it."""
    context = distrust()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []


def test_a_named_authority_is_the_only_one(tmp_path: Path) -> None:
    """SSL_CERT_FILE takes the place of the system's authorities."""
    context = trust({"SSL_CERT_FILE": str(write_authority(tmp_path))})
    assert context.cert_store_stats()["x509_ca"] == 1


def test_directories_are_named_as_openssl_reads_them(tmp_path: Path) -> None:
    """SSL_CERT_DIR may be a list; one that is missing does no harm beside one that is there."""
    missing = tmp_path / "missing"
    assert trust({"SSL_CERT_DIR": f"{missing}:{tmp_path}"}).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_missing_place_is_named(variable: str, tmp_path: Path) -> None:
    """The variable and what it names are told, before anything is sent (fault 118)."""
    missing = tmp_path / "missing"
    with pytest.raises(SetupError) as caught:
        trust({variable: str(missing)})
    assert caught.value.exit_code is ExitCode.AUTH
    assert caught.value.message == (
        f"{variable} names {missing}, which does not exist. Nothing was sent."
    )


@pytest.mark.parametrize("content", [b"", b"no certificate", b"\0" * 100])
def test_a_file_without_certificates_is_named(content: bytes, tmp_path: Path) -> None:
    """An empty or foreign file is not taken for "trust nobody" (fault 118)."""
    path = tmp_path / "bundle.pem"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"SSL_CERT_FILE names .* no readable certificate"):
        trust({"SSL_CERT_FILE": str(path), "SSL_CERT_DIR": str(tmp_path)})


def test_a_directory_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    """SSL_CERT_FILE must be a file (fault 118)."""
    with pytest.raises(SetupError, match="SSL_CERT_FILE"):
        trust({"SSL_CERT_FILE": str(tmp_path)})
