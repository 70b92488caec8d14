"""`kling tasks --html`: a page on which one sees what was bought."""

import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
from PIL import Image
from support.browser import open_browser
from support.photos import make_photos
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

SHOWN = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).length"
LONG = "long " * 40
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onclick='x' $name ${name} $$ &lt;b&gt;<!-- page -->",
    "<style>*{display:none}</style>\u202egpj.exe\u2066\x1b[2J",
    LONG,
)
# What a page may consist of; within it nothing else may come from a name.
ELEMENTS = set(
    "a article b button code div figure form h1 h2 h3 header img input main option output p "
    "script section select small span time video".upper().split()
)


def read_cards(page: str) -> list[str]:
    """Read the text of each card of a page, without its tags."""
    texts = (re.sub(r"<[^>]*>", " ", card) for card in page.split("<article")[1:])
    return [" ".join(unescape(text).partition(">")[2].split()) for text in texts]


def test_a_batch_in_a_real_browser(
    kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each photo stands beside its clip, which plays; filters filter; nothing else is loaded."""
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", 7)
    shutil.copyfile(PHOTO, "photos/anna 50%#?.jpg")
    with open_browser(tmp_path / "browser") as page:
        batch = kling(
            "effect", "squish", "photos", "-o", "clips/", "-y", "--sandbox", "--jobs", "8"
        )
        assert "all videos: kling tasks --html clips/index.html --sandbox\n8 saved in" in batch.err
        kling("effect", "expansion", "photos/p00.jpg", "--no-wait", "--sandbox")
        run = kling("tasks", "--html", "clips/index.html", "--sandbox", "--scene", "squish")
        assert (run.code, run.out, run.err) == (0, "clips/index.html\n", "")
        page.open(tmp_path / "clips/index.html")
        assert page.run(SHOWN) == 8
        page.wait_for("[...document.images].filter(image => image.naturalWidth > 0).length == 8")
        assert page.run("document.querySelectorAll('.card video').length") == 8

        page.point_at("video")
        playing = "(video => !video.paused && video.readyState >= 2 && video.currentTime > 0)"
        page.wait_for(f"{playing}(document.querySelector('video'))")

        for key in "/p03":  # the first one goes to the text filter
            page.press(key, text=key)
        assert page.run(SHOWN) == 1
        assert page.run("document.querySelector('output').value") == "1 of 8"
        page.press("Escape")
        assert page.run(SHOWN) == 8

        # On a phone nothing is wider than the screen.
        page.resize(400, 800)
        assert page.run("document.documentElement.scrollWidth") <= 400

        kling("tasks", "--html", "clips/index.html", "--sandbox")  # it replaces its own page
        page.open(tmp_path / "clips/index.html")
        choose = "(form => {{ form.{}.value = '{}'; form.dispatchEvent(new Event('input')); }})"
        for field, value, shown in (("scene", "expansion", 1), ("status", "succeed", 0)):
            page.run(f"{choose.format(field, value)}(document.forms[0])")
            assert page.run(SHOWN) == shown
        # The photo of two scenes has a group of its own, with both.
        groups = "document.querySelectorAll('.group').length"
        assert (page.run("document.querySelectorAll('.card').length"), page.run(groups)) == (9, 8)

        assert page.complaints == []
        files = {url for url in page.requests if not url.startswith("data:")} - {"about:blank"}
        folder = (tmp_path / "clips").as_uri()
        assert {url.rpartition("/")[0] for url in files} == {folder}
        assert len(files) == 9


@pytest.mark.usefixtures("service")
def test_hostile_names_in_a_real_browser(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Names of files and scenes, and messages, stay text: no element and no attribute is theirs."""
    with open_browser(tmp_path / "browser") as page:
        photos = make_photos(tmp_path / "photos", len(HOSTILE))
        for number, (name, photo) in enumerate(zip(HOSTILE, photos, strict=True)):
            service.shop.rules = Rules(failure=name) if number % 2 else Rules()
            named = photo.rename(tmp_path / f"{name.replace('/', ' ')}.jpg")
            scene = name.partition("\u202e")[0].strip()
            kling("effect", scene, named, "--any-scene", "-o", f"{tmp_path}/clips/")
        assert kling("tasks", "--html", tmp_path / "page.html").code == 0
        page.open(tmp_path / "page.html")
        page.wait_for("document.images.length == 5")
        found = page.run("[...document.body.querySelectorAll('*')].map(it => it.tagName)")
        assert set(found) <= ELEMENTS
        assert found.count("SCRIPT") == 1
        attributes = page.run(
            "[...document.querySelectorAll('*')].flatMap(it => it.getAttributeNames())"
        )
        assert not {name for name in attributes if name.startswith(("on", "style"))}
        titles = page.run("[...document.querySelectorAll('h2 span')].map(it => it.textContent)")
        assert sorted(title[:9] for title in titles) == sorted(name[:9] for name in HOSTILE)
        shown = page.run("document.documentElement.textContent")
        assert not {"\u202e", "\u2066", "\x1b"} & set(shown)
        assert page.run("document.title") == "kling: 5 tasks"
        assert page.complaints == []


def test_what_each_card_says(kling: Program, service: LoopbackService, tmp_path: Path) -> None:
    """Scene, status, time taken, cost, ids and the reason of a failure; cost is summed up above."""
    service.shop.rules = Rules(deduction={"final_unit_deduction": "2"})
    done = kling("effect", "squish", PHOTO, "--json").json
    service.shop.rules = Rules(failure="Risk control")
    failed = kling("effect", "squish", OTHER_PHOTO, "--json").json
    service.shop.rules = Rules(lookup_by_external_id=False)
    service.on_create(DROP, purchase=True)
    assert kling("effect", "fuzzyfuzzy", PHOTO).code == 9
    page = unescape(kling("tasks", "--html", "-").out)
    unknown_card, done_card, failed_card = read_cards(page)
    assert all(str(done[key]) in done_card for key in ("task_id", "external_task_id"))
    assert re.search(r"squish .+ succeed 2026-11-22T00:00:00Z took 0:\d\d · 2 units", done_card)
    assert done["videos"][0]["url"] in done_card
    assert "Risk control Failed tasks are not charged." in failed_card
    assert failed["task_id"] in failed_card
    assert "No clip yet" in unknown_card
    assert "may or may not have been accepted" in unknown_card
    assert "3 tasks · 2 units" in page
    assert "sandbox" not in page.partition("<main>")[2].partition("<script nonce")[0]


def test_pictures_that_cannot_be_shown(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """A picture that is gone, was replaced, or never was a file here is shown by its name."""
    photos = make_photos(tmp_path / "photos", 3)
    for photo in photos:
        assert kling("effect", "squish", photo, "--fix").code == 0
    assert kling("effect", "squish", "-", stdin=PHOTO.read_bytes()).code == 0
    url = f"{service.url}/photo.jpg?secret"
    assert kling("effect", "squish", url, "--no-check-url").code == 0
    photos[0].unlink()
    shutil.copyfile(PHOTO, photos[1])
    photos[2].write_bytes(b"no picture")
    page = kling("tasks", "--html", "-").out
    assert "<img" not in page
    assert "secret" not in page
    cards = read_cards(page)
    assert [card.split(" squish ")[0] for card in cards] == [
        f"{service.url}/photo.jpg?... a URL",
        "- from standard input",
        *(f"p0{number}.jpg gone, or changed" for number in (2, 1, 0)),
    ]


@pytest.mark.usefixtures("service")
def test_a_repaired_picture_is_shown(kling: Program, tmp_path: Path) -> None:
    """A picture that was repaired before it was sent is shown as it is now, while it is one."""
    photo = tmp_path / "photo.webp"
    Image.open(PHOTO).save(photo)
    assert kling("effect", "squish", photo, "--fix").code == 0
    for content, count in ((photo.read_bytes(), 1), (photo.read_bytes()[:3000], 0), (b"text", 0)):
        photo.write_bytes(content)
        assert kling("tasks", "--html", "-").out.count("<img") == count


@pytest.mark.parametrize("option", [("-o", "clips/a: 50%#?\u00e9.mp4"), ()])
def test_clips_on_this_machine_are_linked_from_where_the_page_is(
    option: tuple[str, ...], kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a path relative to the page, or to the shell's place for standard output."""
    monkeypatch.chdir(tmp_path)
    Path("pages").mkdir()
    Path("clips").mkdir()
    location = kling("effect", "squish", PHOTO, "--sandbox", *option).out.strip()
    assert kling("tasks", "--sandbox", "--html", "pages/index.html").code == 0
    (link,) = re.findall('<video src="([^"]+)"', Path("pages/index.html").read_text())
    assert Path("pages", unquote(link)).samefile(location.removeprefix("file://"))
    assert f'src="{link.removeprefix("../")}"' in kling("tasks", "--sandbox", "--html", "-").out


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("notes.html", "output_exists", "Use --force to replace it."),
        ("folder", "output_not_writable", "Use a file: --html {}/index.html"),
        ("nowhere/index.html", "output_not_writable", ""),
    ],
)
def test_nothing_else_is_overwritten(
    name: str, code: str, hint: str, kling: Program, tmp_path: Path
) -> None:
    """What is there and is no page of ours stays as it is, unless --force is given for a file."""
    (tmp_path / "folder").mkdir()
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    path = tmp_path / name
    run = kling("tasks", "--html", path)
    assert (run.code, run.out, notes.read_text()) == (3, "", "mine")
    assert f"hint: {hint.format(path)}\n" in run.err or not hint
    assert kling("tasks", "--html", path, "--force").code == (0 if path == notes else 3)
    assert sorted(file.name for file in tmp_path.glob("*.html")) == ["notes.html"]


def test_a_page_that_cannot_be_written(kling: Program) -> None:
    """A full or read-only disk is said in one line."""
    run = kling("tasks", "--html", "/proc/self/index.html")
    assert run.code == 11
    assert run.err.splitlines()[-1].startswith("error: /proc/self/index.html could not be written:")


@pytest.mark.parametrize(
    "options",
    [("--open",), ("--force",), ("--html", "-", "--open"), ("--html", "page.html", "--json")],
)
def test_options_that_do_not_fit_together(options: tuple[str, ...], kling: Program) -> None:
    """What would be ignored is refused."""
    assert kling("tasks", *options).code == 2


@pytest.mark.parametrize(("answer", "warning"), [(0, ""), (1, "warning: No program was found")])
def test_the_page_is_opened(
    answer: int,
    warning: str,
    kling: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--open hands the page to the system, once it is written."""
    opened: list[str] = []

    def launch(path: str) -> int:
        assert Path(path).exists()
        opened.append(path)
        return answer

    monkeypatch.setattr(typer, "launch", launch)
    run = kling("tasks", "--html", tmp_path / "page.html", "--open")
    assert (run.code, opened) == (0, [str(tmp_path / "page.html")])
    assert warning in run.err
