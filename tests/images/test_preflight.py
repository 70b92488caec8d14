"""What the service would refuse is found before sending, and nothing else is refused."""

import hashlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kling_cli.errors import ExitCode, InputError
from kling_cli.images.formats import Header, read_header
from kling_cli.images.preflight import prepare, prepare_all
from kling_cli.images.rules import MOST_BYTES, MOST_BYTES_REPAIRED, judge, refuse

PHOTOS = Path(__file__).parents[1] / "photos"
ASTRONAUT = PHOTOS / "astronaut.jpg"
PHOTO = ASTRONAUT.read_bytes()


def save(
    kind: str, *, mode: str = "RGB", size: tuple[int, int] = (320, 300), **options: object
) -> bytes:
    """Let Pillow write a picture."""
    file = io.BytesIO()
    Image.new(mode, size, 7).save(file, kind, **options)
    return file.getvalue()


def claim(width: int, height: int) -> bytes:
    """Build a PNG of a hundred bytes that says it is as large as asked."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def resize_frame(content: bytes, width: int, height: int) -> bytes:
    """Change the size that a JPEG says it has."""
    frame = content.index(b"\xff\xc0") + 5
    return content[:frame] + struct.pack(">HH", height, width) + content[frame + 4 :]


def refuse_content(content: bytes) -> InputError:
    """Prepare bytes that have to be refused."""
    with pytest.raises(InputError) as caught:
        prepare("-", standard_input=io.BytesIO(content))
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert caught.value.charged == "no"
    assert caught.value.message.startswith("standard input: ")
    return caught.value


def take_content(content: bytes) -> tuple[str, ...]:
    """Prepare bytes that have to be taken, and show their notes."""
    picture = prepare("-", standard_input=io.BytesIO(content))
    assert picture.content == content
    return picture.notes


@pytest.mark.parametrize(
    ("name", "size"), [("astronaut.jpg", (512, 512)), ("hopper.jpg", (512, 600))]
)
def test_a_photograph_is_taken(name: str, size: tuple[int, int]) -> None:
    """A plain photograph passes, and all that is known of it is told."""
    path = PHOTOS / name
    picture = prepare(str(path))
    content = path.read_bytes()
    assert (picture.source, picture.kind, picture.format) == (str(path), "file", "JPEG")
    assert (picture.width, picture.height) == size
    assert (picture.content, picture.size) == (content, len(content))
    assert picture.sha256 == hashlib.sha256(content).hexdigest()
    assert (picture.notes, picture.fixes) == ((), ())


def test_standard_input_is_taken() -> None:
    """A photograph can come from a pipe."""
    picture = prepare("-", standard_input=io.BytesIO(PHOTO))
    assert (picture.source, picture.kind, picture.content) == ("-", "stdin", PHOTO)


def save_phone_picture() -> bytes:
    """Build what phones write: two pictures in one file, a film behind them."""
    more = [Image.new("RGB", (320, 300))]
    return save("MPO", save_all=True, append_images=more) + b"\0\0\0\x18ftypmp42" + bytes(5000)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (save_phone_picture(), None),
        (save("JPEG", progressive=True), None),
        (save("JPEG", progressive=True, size=(1200, 1000)), None),
        (save("JPEG", mode="L"), None),
        (save("JPEG", mode="L", size=(1200, 1000)), None),
        (save("JPEG", quality=100, subsampling=0, restart_marker_blocks=3), None),
        (save("JPEG", mode="CMYK"), "CMYK"),
        (save("PNG"), None),
        (save("PNG", mode="1"), None),
        (save("PNG", mode="L"), None),
        (save("PNG", mode="P"), None),
        (save("PNG", mode="RGBA"), "transparent"),
        (save("PNG", mode="LA"), "transparent"),
        (save("PNG", mode="P", transparency=0), "transparent"),
        (save("PNG", mode="I;16"), "16 bits"),
        (save("PNG", save_all=True, append_images=[Image.new("RGB", (320, 300))]), "animated"),
        (save("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"), "turned"),
    ],
    ids=range(17),
)
def test_unusual_pictures_are_taken(content: bytes, note: str | None) -> None:
    """What the service takes is never refused; what may surprise gets one note (fault 53)."""
    notes = take_content(content)
    assert len(notes) == (1 if note else 0)
    assert note is None or note in notes[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(300, 300), (300, 750), (750, 300), (2500, 1000), (1001, 2502)])
def test_the_limits_of_the_sides_themselves_pass(kind: str, size: tuple[int, int]) -> None:
    """Exactly 300 pixels and exactly 2.5 to 1 are taken (fault 54)."""
    assert take_content(save(kind, size=size)) == ()


@pytest.mark.parametrize(
    ("size", "code", "words"),
    [
        ((299, 400), "image_too_small", "299 x 400 pixels, each side needs at least 300"),
        ((400, 299), "image_too_small", "400 x 299 pixels, each side needs at least 300"),
        ((753, 300), "image_bad_aspect", "753 x 300 pixels are 2.51:1, the service takes"),
        ((300, 751), "image_bad_aspect", "300 x 751 pixels are 1:2.51, the service takes"),
        ((900, 300), "image_bad_aspect", "900 x 300 pixels are 3:1, the service takes"),
    ],
)
def test_sides_beyond_the_limits_are_refused(size: tuple[int, int], code: str, words: str) -> None:
    """The measured value stands beside the limit, and never reads as the limit (fault 54)."""
    error = refuse_content(save("PNG", size=size))
    assert error.code == code
    assert words in error.message
    assert error.hint == "--fix repairs it before sending."


@pytest.mark.parametrize(
    ("size", "notes"), [(10_000_000, 0), (10_000_001, 1), (MOST_BYTES - 1, 1), (MOST_BYTES, 1)]
)
def test_the_limit_of_the_size_itself_passes(size: int, notes: int) -> None:
    """A file of 10 MiB is taken, with a note above ten million bytes (fault 55)."""
    assert len(take_content(PHOTO.ljust(size, b"\0"))) == notes


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    """One byte above the limit is refused, and both numbers are shown (fault 55)."""
    path = tmp_path / "large.jpg"
    path.write_bytes(PHOTO)
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(InputError) as caught:
        prepare(str(path))
    assert caught.value.code == "image_too_large"
    assert "10,485,761 bytes, the limit is 10,485,760" in caught.value.message


def test_a_large_standard_input_is_refused() -> None:
    """A pipe is read beyond the limit: its size is told, and --fix can help (fault 55)."""
    error = refuse_content(PHOTO.ljust(2 * MOST_BYTES, b"\0"))
    assert error.code == "image_too_large"
    assert ": 20,971,520 bytes, the limit is 10,485,760" in error.message
    assert error.hint


def test_an_endless_standard_input_is_refused() -> None:
    """Of an endless pipe no more is told than was read, and no repair is offered (fault 55)."""
    error = refuse_content(PHOTO.ljust(MOST_BYTES_REPAIRED + 9, b"\0"))
    assert error.code == "image_too_large"
    assert ": at least 134,217,729 bytes, the limit is 10,485,760" in error.message
    assert not error.hint


def test_all_problems_of_a_picture_are_named_at_once(tmp_path: Path) -> None:
    """A huge file is refused for its sides too, which its first bytes tell (fault 55)."""
    path = tmp_path / "large.png"
    path.write_bytes(save("PNG", size=(900, 200)))
    os.truncate(path, 1 << 33)
    with pytest.raises(InputError) as caught:
        prepare(str(path))
    assert caught.value.code == "image_rejected"
    assert caught.value.message == (
        f"{path}: 8,589,934,592 bytes, the limit is 10,485,760 (10 MiB): save it smaller; "
        "900 x 200 pixels, each side needs at least 300: use a larger picture; "
        "900 x 200 pixels are 4.5:1, the service takes 1:2.5 to 2.5:1: crop it."
    )


def test_a_large_file_whose_sides_are_far_is_refused_for_its_size(tmp_path: Path) -> None:
    """A huge file is not searched for its sides."""
    path = tmp_path / "large.jpg"
    path.write_bytes(PHOTO[:2] + b"\xff\xed\xff\xff" + bytes(65533))
    os.truncate(path, 1 << 33)
    with pytest.raises(InputError) as caught:
        prepare(str(path))
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize(
    ("content", "name", "fixable"),
    [
        (save("GIF"), "GIF", True),
        (save("WEBP"), "WebP", True),
        (save("BMP"), "BMP", True),
        (save("EPS"), "EPS", False),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", False),
        (b"<!doctype html><title>Not found</title>", "HTML", False),
        (b"a letter", "plain text", False),
        (bytes(9), "of no known type", False),
    ],
    ids=range(8),
)
def test_another_type_is_named(content: bytes, name: str, fixable: bool) -> None:  # noqa: FBT001 - an expected value
    """A refused type is named with those that are taken, and --fix where it converts (fault 51)."""
    error = refuse_content(content)
    assert error.code == "image_wrong_format"
    assert f"its content is {name}, the service takes JPEG and PNG" in error.message
    assert bool(error.hint) is fixable


def test_all_faults_of_another_type_are_told() -> None:
    """Its sides are told with its type: nobody should convert a picture that is too small."""
    error = refuse_content(save("WEBP", size=(200, 900)))
    assert error.code == "image_rejected"
    for words in ("content is WebP", "200 x 900 pixels, each side", "are 1:4.5"):
        assert words in error.message
    assert "--fix" in error.hint


def test_an_empty_picture_is_refused() -> None:
    """An empty file is told as one (fault 51)."""
    assert refuse_content(b"").code == "image_empty"


@pytest.mark.parametrize(
    "content",
    [
        PHOTO[:-1],
        PHOTO[:-2],
        PHOTO[: len(PHOTO) // 2],
        PHOTO[: len(PHOTO) // 2].ljust(len(PHOTO), b"\0"),
        PHOTO[:300],
        PHOTO[:4],
        save("JPEG", progressive=True, size=(1200, 1000))[:-1],
        PHOTO.replace(b"\xff\xdb", b"\xff\xec"),
        resize_frame(PHOTO, 0, 512),
        resize_frame(PHOTO, 15_000, 16_000),
        save("PNG")[:-12],
        save("PNG")[:-1],
        save("PNG")[:20],
        save("PNG").replace(b"IDATx", b"IDATy"),
        save("PNG").replace(b"\r\n", b"\n", 1),
        claim(5000, 5000),
    ],
    ids=range(16),
)
def test_damage_is_found(content: bytes) -> None:
    """A picture that did not arrive whole is refused as damaged (fault 52)."""
    error = refuse_content(content)
    assert error.code in {"image_damaged", "image_rejected"}
    assert "the file is damaged, " in error.message
    assert error.hint == ""


def test_what_the_decoder_cannot_read_is_refused() -> None:
    """A JPEG of 12 bits, which next to nothing reads, is refused with the reason (fault 60)."""
    frame = PHOTO.index(b"\xff\xc0") + 4
    error = refuse_content(PHOTO[:frame] + b"\x0c" + PHOTO[frame + 1 :])
    assert error.code == "image_unreadable"
    assert "(cannot handle 12-bit layers)" in error.message


@pytest.mark.parametrize(
    "content",
    [
        claim(20_000, 20_000),
        claim(2**31 - 1, 2**31 - 1),
        resize_frame(PHOTO, 65_000, 65_000),
    ],
    ids=range(3),
)
def test_a_bomb_is_stopped_at_its_header(content: bytes) -> None:
    """A picture that claims to be immense is refused before it is decoded (fault 56)."""
    error = refuse_content(content)
    assert error.code == "image_too_many_pixels"
    assert "no more than 250,000,000 in all are taken" in error.message


MEASURE = """
import sys
from pathlib import Path
from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

prepare(sys.argv[1])
before = peak()
for source in sys.argv[2:]:
    try:
        prepare(source)
    except InputError:
        pass
print((peak() - before) // 1024)
print(*(name for name in sys.modules if name.startswith("PIL.") and name.endswith("Plugin")))
"""


def test_memory_does_not_grow_with_the_pixels(tmp_path: Path) -> None:
    """Bombs and pictures of 24 megapixels cost far less than their pixels, in silence (fault 56).

    Pillow warns of each of the damaged EXIF blocks and of each bomb when it is left alone.
    """
    exif = b"Exif\0\0II*\0\x08\0\0\0\5\0"
    pictures = {
        "baseline.jpg": save("JPEG", size=(6000, 4000), exif=exif),
        "progressive.jpg": save("JPEG", size=(6000, 4000), progressive=True),
        "flat.png": save("PNG", mode="1", size=(6000, 4000)),
        "bomb.png": claim(20_000, 20_000),
        "bomb.jpg": resize_frame(PHOTO, 15_000, 16_000),
        "exif.jpg": PHOTO[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + PHOTO[20:],
        "full.jpg": PHOTO.ljust(9_900_000, b"\0"),
    }
    for name, content in pictures.items():
        (tmp_path / name).write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", MEASURE, ASTRONAUT, *pictures],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    growth, plugins = run.stdout.splitlines()
    assert int(growth) <= 24
    assert "PIL.GifImagePlugin" not in plugins.split()
    assert "PIL.MpoImagePlugin" not in plugins.split()
    assert run.stderr == ""


def test_pillow_itself_would_warn() -> None:
    """The damaged EXIF block of the test above makes Pillow warn, so that its silence is ours."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\5\0"
    content = PHOTO[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + PHOTO[20:]
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        Image.open(io.BytesIO(content)).getexif()
    assert take_content(content) == ()


def test_workers_leave_the_warnings_as_they_were() -> None:
    """Pictures prepared by many workers at once do not silence the rest of the program."""
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as workers:
        pictures = list(workers.map(prepare, [str(ASTRONAUT)] * 32))
    assert len({picture.sha256 for picture in pictures}) == 1
    assert list(warnings.filters) == before


def test_a_file_that_changes_later_is_sent_as_it_was_checked(tmp_path: Path) -> None:
    """Checks, hash and upload see the same bytes (fault 57)."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(PHOTO)
    picture = prepare(str(path))
    path.write_bytes(b"changed")
    assert picture.content == PHOTO
    assert picture.sha256 == hashlib.sha256(PHOTO).hexdigest()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two words", "two words"),
        ("two\nlines", "two lines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egpj", "\\u202egpj"),
        ("\udcff.jpg", "\\udcff.jpg"),
        ("-rf", "-rf"),
    ],
)
def test_every_name_works_and_is_shown_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    """Whatever a file is called, it is taken, and no control byte of it is shown (fault 58)."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(PHOTO)
    assert prepare(name).source == name
    Path(name).write_bytes(b"")
    with pytest.raises(InputError) as caught:
        prepare(name)
    assert caught.value.message == f"{shown}: it is empty: there is no picture in it."


def test_a_missing_picture_ends_in_a_question(tmp_path: Path) -> None:
    """A near miss is asked for in plain words (fault 49)."""
    (tmp_path / "photo.jpeg").touch()
    with pytest.raises(InputError) as caught:
        prepare(str(tmp_path / "photo.jpg"))
    assert caught.value.code == "image_not_found"
    assert caught.value.message.endswith(f"; did you mean {tmp_path}/photo.jpeg?")


def test_an_empty_name_is_shown_as_one() -> None:
    """A variable that a script forgot to set is visible in the message."""
    with pytest.raises(InputError, match=r"^'': No such file or directory\.$"):
        prepare("")


def test_the_place_in_a_photograph_is_left_as_it_is(tmp_path: Path) -> None:
    """GPS data are neither refused nor taken out: the file is sent as it is (fault 59)."""
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    content = save("JPEG", exif=exif.tobytes())
    (tmp_path / "gps.jpg").write_bytes(content)
    assert prepare(str(tmp_path / "gps.jpg")).content == content


def test_all_pictures_of_a_task_are_told_in_one_message(tmp_path: Path) -> None:
    """Two bad pictures are two lines of one message, the good one is not in it."""
    small, page = tmp_path / "small.png", tmp_path / "page.jpg"
    small.write_bytes(save("PNG", size=(200, 200)))
    page.write_bytes(b"<html>")
    with pytest.raises(InputError) as caught:
        prepare_all((str(small), str(ASTRONAUT), str(page)))
    lines = caught.value.message.splitlines()
    assert caught.value.code == "image_rejected"
    assert [line.partition(": ")[0] for line in lines] == [str(small), str(page)]


def test_problems_of_one_kind_keep_their_code(tmp_path: Path) -> None:
    """A script sees at once that all pictures are missing."""
    with pytest.raises(InputError) as caught:
        prepare_all((str(tmp_path / "left.jpg"), str(tmp_path / "right.jpg")))
    assert caught.value.code == "image_not_found"


def test_good_pictures_come_back_in_their_order() -> None:
    """The pictures of a task stand as given, and the same one given twice is read once."""
    hopper = str(PHOTOS / "hopper.jpg")
    first, second, third = prepare_all(("-", hopper, "-"), standard_input=io.BytesIO(PHOTO))
    assert (first.source, second.source) == ("-", hopper)
    assert third is first


def test_a_remote_picture_is_judged_by_its_first_bytes() -> None:
    """The same rules hold for what is known of a picture behind a URL."""
    header = read_header(save("PNG", size=(200, 1000))[:100])
    assert header is not None
    error = refuse([("https://example.com/a.png", judge(header, size=None))])
    assert "200 x 1000 pixels are 1:5" in error.message
    assert error.code == "image_rejected"
    assert judge(Header(format="JPEG"), size=MOST_BYTES) == []
    assert judge(Header(format="JPEG"), size=MOST_BYTES + 1)[0].code == "image_too_large"


SEEDS = (
    save("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"),
    save("JPEG", progressive=True),
    save("JPEG", mode="CMYK"),
    save_phone_picture(),
    save("PNG", mode="P", transparency=0),
    save("PNG", save_all=True, append_images=[Image.new("RGB", (320, 300))]),
    claim(400, 400),
)


@settings(max_examples=300, deadline=None, database=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 1000), st.binary(max_size=6)), max_size=6),
    cut=st.none() | st.integers(1, 2000),
)
def test_whatever_the_bytes_the_answer_is_a_picture_or_an_error(
    seed: bytes, changes: list[tuple[int, bytes]], cut: int | None
) -> None:
    """Changed bytes end as a picture or as our own error, never as anything else (fault 60)."""
    content = bytearray(seed)
    for place, piece in changes:
        content[place : place + len(piece)] = piece
    try:
        picture = prepare("-", standard_input=io.BytesIO(bytes(content[:cut])))
    except InputError as error:
        assert error.code.startswith("image_")  # noqa: PT017 - either end is right
        assert error.message.isprintable()  # noqa: PT017 - most files raise nothing
    else:
        assert picture.content == bytes(content[:cut])
