"""Proxy settings that cannot be used are named, and never quoted."""

import pytest

from kling_cli.errors import ExitCode, SetupError
from kling_cli.transport.exchange import ExchangeError, Transport
from kling_cli.transport.proxies import blame_proxy

SECRET = "hush-hush"  # noqa: S105 - of no proxy


def test_variables_that_are_wrong_are_named() -> None:
    """Each spelling that is wrong is told; one that is empty or looks well is not (fault 118)."""
    environ = {
        "https_proxy": f"socks5://me:{SECRET}@h",
        "ALL_PROXY": "proxy.example:port",
        "HTTP_PROXY": "",
        "http_proxy": "proxy.example:8080",
        "NO_PROXY": "localhost",
    }
    error = blame_proxy(environ)
    assert error.exit_code is ExitCode.AUTH
    assert error.message == (
        "The proxy settings cannot be used: https_proxy or ALL_PROXY. Nothing was sent."
    )
    assert "http://host:port" in error.hint
    assert "NO_PROXY" not in error.hint


def test_where_all_look_well_all_are_named() -> None:
    """A value that only the library dislikes is among those that are named."""
    error = blame_proxy({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "localhost"})
    assert "HTTPS_PROXY or NO_PROXY" in error.message
    assert "http://host:port" in error.hint
    assert "NO_PROXY: List hosts" in error.hint


@pytest.mark.parametrize(
    "entry", ["[::1]:80", "[::1]", "fe80::/10", f"{SECRET}:port", "caf\u00e9", "localhost, [::1]"]
)
def test_a_wrong_exception_has_its_own_hint(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    """NO_PROXY alone is blamed for what is wrong in it, and how to write it is told (fault 118)."""
    monkeypatch.setenv("NO_PROXY", entry)
    environ = {"HTTPS_PROXY": "http://proxy.example:8080", "NO_PROXY": entry}
    with pytest.raises(SetupError) as caught:
        Transport(environ=environ).look("http://127.0.0.1:9/", headers={}, seconds=5)
    error = caught.value
    assert error.message == "The proxy settings cannot be used: NO_PROXY. Nothing was sent."
    assert error.hint == (
        "NO_PROXY: List hosts with commas between and no port: localhost,.example.com,10.0.0.1"
    )


@pytest.mark.parametrize(
    "entry",
    [
        "localhost:8080",
        "::1",
        "10.0.0.0/8",
        ".corp:8080, localhost,",
        "http://x:8",
        "*.example.com",
    ],
)
def test_a_usable_exception_stops_nothing(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    """A host with a port, an address or a URL in NO_PROXY is no fault, and never blamed."""
    monkeypatch.setenv("NO_PROXY", entry)
    with pytest.raises(ExchangeError, match="refused the connection"):
        Transport(environ={"NO_PROXY": entry}).look("http://127.0.0.1:9/", headers={}, seconds=5)
    environ = {"NO_PROXY": entry, "ALL_PROXY": "socks5://127.0.0.1:9"}
    assert "NO_PROXY" not in blame_proxy(environ).message


def test_an_unusable_proxy_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy of a kind that is not supported ends the run with the variable's name."""
    url = f"socks5://me:{SECRET}@127.0.0.1:9"
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(SetupError) as caught:
        Transport(environ={"ALL_PROXY": url}).look("http://a.example/", headers={}, seconds=5)
    assert "ALL_PROXY" in caught.value.message
    assert SECRET not in caught.value.message + caught.value.hint
