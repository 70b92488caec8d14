"""The library's client, made so that nothing leaks and nothing is followed."""

import http.cookiejar
from collections.abc import Mapping
from typing import TYPE_CHECKING

import httpx

from kling_cli import __version__
from kling_cli.transport.proxies import blame_proxy
from kling_cli.transport.tls import distrust, trust

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Above the longest pause between two looks, so that one connection lasts a whole wait.
_KEEPALIVE_SECONDS = 150.0


def open_client(
    url: str,
    headers: Mapping[str, str],
    *,
    application: "WSGIApplication | None",
    environ: Mapping[str, str],
) -> httpx.Client:
    """Make a client for requests like this one; time-outs are told with each request.

    Args:
        url: of the first request; TLS is made ready only for https.
        headers: of the first request.
        application: a WSGI application that takes the place of the network.
        environ: where proxy and certificate variables are looked up.

    Raises:
        SetupError: a proxy or certificate variable cannot be used.
    """
    secure = application is None and url.startswith("https:")
    context = trust(environ) if secure else distrust()
    in_process = application and httpx.WSGITransport(app=application)
    no_cookies = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
    try:
        return httpx.Client(
            verify=context,
            transport=in_process,
            # Without TLS a proxy would read the token.
            trust_env=secure or "Authorization" not in headers,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"kling-cli/{__version__}",
            },
            cookies=http.cookiejar.CookieJar(no_cookies),
            limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
        )
    except (httpx.InvalidURL, ImportError, ValueError):
        raise blame_proxy(environ) from None
