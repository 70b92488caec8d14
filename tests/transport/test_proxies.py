"""Proxy settings that cannot be used are named, and never quoted."""

import pytest

from kling_cli.errors import ExitCode, SetupError
from kling_cli.transport.exchange import Transport
from kling_cli.transport.proxies import blame_proxy


def test_variables_that_are_set_are_named() -> None:
    """Each spelling that is set is told, an empty one is not."""
    environ = {"https_proxy": "socks5://me:secret@h", "ALL_PROXY": "x", "HTTP_PROXY": ""}
    error = blame_proxy(environ)
    assert error.exit_code is ExitCode.AUTH
    assert error.message == (
        "The proxy settings cannot be used: https_proxy or ALL_PROXY. Nothing was sent."
    )


def test_an_unusable_proxy_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy of a kind that is not supported ends the run with the variable's name."""
    url = "socks5://me:secret@127.0.0.1:9"
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(SetupError) as caught:
        Transport(environ={"ALL_PROXY": url}).look("http://a.example/", headers={}, seconds=5)
    assert "ALL_PROXY" in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint
