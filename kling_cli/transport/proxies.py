"""The proxy variables of the environment, named when they cannot be used."""

from collections.abc import Mapping

from kling_cli.errors import SetupError

_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


def blame_proxy(environ: Mapping[str, str]) -> SetupError:
    """Say which variables hold what cannot be used, never their values: they may hold passwords."""
    named = [
        name
        for variable in _VARIABLES
        for name in (variable, variable.lower())
        if environ.get(name)
    ]
    return SetupError(
        "environment_invalid",
        f"The proxy settings cannot be used: {' or '.join(named)}. Nothing was sent.",
        hint="Use http://host:port, or unset the variable; SOCKS proxies are not supported.",
    )
