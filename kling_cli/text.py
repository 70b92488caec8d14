"""Foreign text made safe to show: from the service, file names, arguments."""

from urllib.parse import urlsplit, urlunsplit


def clean(text: str, *, limit: int = 500) -> str:
    r"""Show foreign text on one line: white space as blanks, unprintable characters as `\x1b`.

    Unprintable are control, format (such as bidi overrides), private and unassigned characters:
    each can change what a terminal shows.

    Args:
        text: anything, also undecodable bytes that the system handed over as surrogates.
        limit: the most characters to show; a longer text ends in three dots.
    """
    text = text[: limit + 1]
    # Most text has nothing to hide, and this is asked for at every step of every task.
    shown = (text if text.isprintable() else "".join(map(_show, text))).strip()
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def without_query(url: str) -> str:
    """Show a URL without its user part, query and fragment, any of which may be a secret."""
    if url[:5].lower() == "data:":
        return f"{clean(url.partition(',')[0], limit=80)},..."
    try:
        parts = urlsplit(url)
    except ValueError:
        return clean(url.partition("?")[0].partition("#")[0].rpartition("@")[2])
    host = parts.netloc.rpartition("@")[2]
    masked = "?..." if parts.query else ""
    return clean(urlunsplit((parts.scheme, host, parts.path, "", ""))) + masked


def _show(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else repr(character)[1:-1]
