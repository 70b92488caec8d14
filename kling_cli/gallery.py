"""The contact sheet: a page that shows tasks, with pictures next to clips.

The page works from a file, without a server or network. All its HTML is in gallery.html, in named
parts; the values come from users and servers, and are always escaped.
"""

import base64
import hashlib
import io
import os
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from kling_cli.errors import InputError, LocalError
from kling_cli.models import Purchase, Stage
from kling_cli.poll import check_result
from kling_cli.purchase import Resume
from kling_cli.scenes import catalogue
from kling_cli.text import (
    clean,
    format_costs,
    format_count,
    format_elapsed,
    format_time,
    format_units,
    without_query,
)

_TEMPLATE = Path(__file__).with_suffix(".html")
# Identifies our own pages; it is near the beginning.
_MARK = b'<meta name="generator" content="kling">'
_MARK_BYTES = 2000
# In pixels: twice the displayed size, for high-resolution screens.
_THUMBNAIL_SIZE = (320, 320)
_DRAFT_SIZE = (240, 240)  # no side becomes smaller, so that 320 x 240 is enough
_THUMBNAIL_QUALITY = 72
_NO_FILE = {"file": "gone, or changed", "url": "a URL", "stdin": "from standard input"}


Image = Mapping[str, object]


def _check(path: Path, *, force: bool) -> None:
    """Refuse a path that is not writable or has another file.

    Raises:
        InputError: `output_exists` or `output_not_writable`.
    """
    shown = clean(str(path))
    if not path.parent.is_dir():
        message = f"Cannot write a page to {shown}: its directory does not exist."
        raise InputError("output_not_writable", message)
    if not os.path.exists(path):
        return
    if not path.is_file():
        message = f"Cannot write a page to {shown}: it is not a regular file."
        hint = f"Use a file: --html {clean(str(path / 'index.html'))}" if path.is_dir() else ""
        raise InputError("output_not_writable", message, hint=hint)
    with path.open("rb") as file:
        is_page = _MARK in file.read(_MARK_BYTES)
    if not (is_page or force):
        message = f"{shown} already exists and is not a contact sheet. It was not changed."
        raise InputError("output_exists", message, hint="Use --force to replace it.")


def save(page: Iterable[str], path: Path, *, force: bool) -> None:
    """Write or replace a page in one step.

    Raises:
        InputError: the path has another file, which only `force` replaces.
        LocalError: it cannot be written.
    """
    _check(path, force=force)
    target = Path(os.path.realpath(path))  # keep a link
    temporary = target.with_name(f".kling-{os.urandom(6).hex()}.part")
    try:
        try:
            with temporary.open("x", encoding="ascii", newline="\n") as file:
                file.writelines(page)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        message = f"{clean(str(path))} could not be written: {error.strerror}."
        raise LocalError("output_failed", message) from None


def render(
    purchases: Sequence[Purchase],
    files: Mapping[str, Sequence[str]],
    *,
    directory: Path,
    now: float,
) -> Iterator[str]:
    """Render the page piece by piece, in ASCII, which is valid in any encoding.

    Args:
        purchases: the tasks, in the order in which they are shown.
        files: the saved clips of each task, by its name.
        directory: the directory of the page; links to files start there.
        now: seconds since the epoch.
    """
    statuses = Counter(purchase.status for purchase in purchases)
    scenes = sorted({purchase.effect_scene for purchase in purchases})
    # A task that failed costs nothing.
    costs = [purchase.units for purchase in purchases if purchase.stage is Stage.SUCCEED]
    count = format_count(len(purchases), "task")
    nonce = secrets.token_urlsafe(16)  # only our own style and script have it
    kind = "sandbox" if any(purchase.is_sandbox for purchase in purchases) else ""
    chips = [_fill("count", name=name, number=f"{number}") for name, number in statuses.items()]
    yield _fill(
        "page",
        nonce=nonce,
        count=count,
        head=_join(count, format_costs(costs), kind),
        counts_html="".join(chips),
        scenes_html="".join(_fill("option", name=scene) for scene in scenes),
        statuses_html="".join(_fill("option", name=status) for status in statuses),
    )
    groups: defaultdict[tuple[object, ...], list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        groups[tuple(image["sha256"] or image["source"] for image in purchase.images)] += [purchase]
    for group in groups.values():
        images = group[0].images
        sizes = [
            f"{it['width']} \N{MULTIPLICATION SIGN} {it['height']}" for it in images if it["width"]
        ]
        yield _fill(
            "group",
            name=" + ".join(map(_name, images)) or "unknown picture",
            size=_join(*sizes),
            shown=str(min(len(group), 3)),
        )
        # Kept only for one group, so that memory does not grow with the page.
        thumbnails: dict[object, str] = {}
        for purchase in group:
            yield _render_card(purchase, files[purchase.name], thumbnails, directory, now)
        yield _fill("group_end")
    yield _fill("page_end", nonce=nonce)


def _render_card(
    purchase: Purchase,
    files: Sequence[str],
    thumbnails: dict[object, str],
    directory: Path,
    now: float,
) -> str:
    error = check_result(purchase, Resume(), now=now)
    locations = files or [video.url for video in purchase.videos if not error]
    links = [(_link(location, directory), _shorten(location)) for location in locations]
    clips = [_fill("clip", link_html=link, name=name) for link, name in links]
    reason = hint = taken = ""
    if error and not files:
        reason, hint = purchase.message or error.message, error.hint
    if purchase.finished_at:
        taken = f"took {format_elapsed(max(purchase.finished_at - purchase.created_at, 0))}"
    no_clip = "No clip" if purchase.status.is_final else "No clip yet"
    titles = (scene.title for scene in catalogue() if scene.name == purchase.effect_scene)
    return _fill(
        "card",
        pictures_html="".join(_render_picture(image, thumbnails) for image in purchase.images),
        clips_html="".join(clips) or _fill("nothing", name=no_clip, reason=""),
        links_html="".join(_fill("link", link_html=link, name=name) for link, name in links),
        ids_html="".join(
            _fill("id", name=name) for name in (purchase.task_id, purchase.external_task_id) if name
        ),
        scene=purchase.effect_scene,
        title=next(titles, None) or "",
        status=purchase.status,
        time=format_time(purchase.created_at) or "",
        facts=_join(taken, format_units(purchase.units)),
        reason=reason,
        hint=hint,
    )


def _render_picture(image: Image, thumbnails: dict[object, str]) -> str:
    source = image["source"]
    if source not in thumbnails:
        thumbnails[source] = _make_thumbnail(image)
    if thumbnails[source]:
        return _fill("picture", name=_name(image), data_html=thumbnails[source])
    return _fill("nothing", name=_name(image), reason=_NO_FILE[str(image["kind"])])


def _make_thumbnail(image: Image) -> str:
    """Create a small JPEG of a picture as a URL; empty if the file is missing or has changed."""
    from PIL import ImageOps

    from kling_cli.images import decoding
    from kling_cli.images.preflight import read_header

    try:
        content = Path(str(image["source"])).read_bytes()
        # The hash of a repaired picture is not that of its file.
        if not image["fixes"] and hashlib.sha256(content).hexdigest() != image["sha256"]:
            return ""
        with decoding():
            _, picture = read_header(content)
            if picture is None:
                return ""
            # Decode a JPEG at a reduced size; `thumbnail` itself would choose a larger one.
            picture.draft("RGB", _DRAFT_SIZE)
            picture.thumbnail(_THUMBNAIL_SIZE)
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            small = io.BytesIO()
            upright.save(small, "JPEG", quality=_THUMBNAIL_QUALITY)
    except Exception:  # it was never a file here, is missing, or is damaged
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def _name(image: Image) -> str:
    source = str(image["source"])
    return Path(source).name if image["kind"] == "file" else source


def _link(location: str, directory: Path) -> str:
    """Create a value for `href` and `src`: a web address, or a path relative to the page."""
    if location.lower().startswith(("https://", "http://")):
        return _escape(location)
    if location.startswith("file:"):  # only the sandbox's own: no other file: URL is accepted
        location = url2pathname(urlsplit(location).path)
    return quote(os.fsencode(os.path.relpath(location, directory)))


def _shorten(location: str) -> str:
    return without_query(location) if location.startswith("http") else Path(location).name


def _join(*parts: str) -> str:
    return " \N{MIDDLE DOT} ".join(filter(None, parts))


def _fill(part: str, **values: str) -> str:
    """Fill in a part of the template; values are escaped unless their name says HTML."""
    safe = {
        name: text if name.endswith("_html") else _escape(clean(text))
        for name, text in values.items()
    }
    return _read_template()[part].substitute(safe)


def _escape(text: str) -> str:
    return escape(text).encode("ascii", "xmlcharrefreplace").decode()


@cache
def _read_template() -> Mapping[str, Template]:
    _, *parts = re.split(r"<!-- (\w+) -->\n", _TEMPLATE.read_text(encoding="ascii"))
    return {name: Template(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}
