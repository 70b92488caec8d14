"""The completion scripts are those of the program as it is, and real shells complete by them."""

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from generator import ROOT, SCRIPTS, bash, build, fish, powershell, zsh
from generator.commands import Command, Kind, Option, read_program
from generator.words import Words, list_words
from ground.run import OTHER_PHOTO, PHOTO, Program
from ground.shells import Ask, ask_bash, ask_fish, ask_zsh, list_zsh, require
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.scenes import catalogue
from kling_cli.settings.keys import KEYS

Write = Callable[[Command, Mapping[Kind, Words]], str]

PROGRAM = read_program()
PATHS = {name: ROOT / "completions" / name for name in SCRIPTS}
HOSTILE = r"""it's [a]: "b" $(c) `d` \e %s {f,g} *~ ^ (h) 捏"""
PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=["C", "Z"]), min_size=1)


WRITERS: dict[Ask, Write] = {
    ask_bash: bash.write,
    ask_zsh: zsh.write,
    ask_fish: fish.write,
}
every_shell = pytest.mark.parametrize("ask", [ask_bash, ask_zsh, ask_fish])


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with photographs, one of which has a space in its name."""
    desk = tmp_path / "desk"
    desk.mkdir()
    for name in ("photo.jpg", "my photo.jpg"):
        (desk / name).touch()
    (desk / "squish").mkdir()
    return desk


def find_names(command: Command) -> set[str]:
    """Find the options of a command."""
    return {name for option in command.options for name in option.names}


def save(tmp_path: Path, name: str, text: str) -> Path:
    """Save a script where a test can load it."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", PATHS.values(), ids=lambda path: path.name)
def test_the_script_is_of_the_program_as_it_is(path: Path) -> None:
    """What is committed is what the generator writes now."""
    assert path.read_text(encoding="utf-8") == build()[path], "run: python completions/generate.py"


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("bash", "-n"), "kling.bash"),
        (("shellcheck",), "kling.bash"),
        (("zsh", "-n"), "_kling"),
        (("fish", "--no-execute"), "kling.fish"),
    ],
    ids=["bash", "shellcheck", "zsh", "fish"],
)
def test_the_script_is_well_formed(argv: tuple[str, ...], name: str) -> None:
    """The shell itself, and the linter of shell scripts, find nothing wrong with it."""
    require(argv[0])
    done = subprocess.run(
        [*argv, str(PATHS[name])], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@every_shell
@pytest.mark.parametrize("command", [*PROGRAM.walk()], ids=lambda command: command.name)
def test_every_option_is_offered(ask: Ask, command: Command, desk: Path) -> None:
    """Behind each command, all of its options are offered, and none of another."""
    offered = set(ask(f"{command.name} -", desk))
    assert offered == find_names(command)


@every_shell
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kling eff", {"effect"}),
        ("kling -", {"--version", "-h", "--help"}),
        ("kling config ", {command.path[-1] for command in PROGRAM.commands[-1].commands}),
        ("kling config uns", {"unset"}),
        ("kling config get ", {key.name for key in KEYS}),
        ("kling config set ti", {"timeout"}),
        ("kling config set timeout ", set[str]()),
        ("kling completion p", {"powershell"}),
        ("kling effect squ", {"squish", "squeeze_scream"}),
        ("kling effect 捏", {"捏捏乐"}),
        ("kling effect let", {"let's_ride"}),
        ("kling scenes squish hu", {"hug", "hug_pro", "hug_from_past"}),
        ("kling effect squish ph", {"photo.jpg"}),
        ("kling effect squish photo.jpg my", {"my photo.jpg"}),
        ("kling effect -q --model kling-v1-6 squish my", {"my photo.jpg"}),
        ("kling effect --callback-url https://example.org/a?b=c squi", {"squish"}),
        ("kling effect --timeout=5m squi", {"squish"}),
        ("kling effect squish --mode ", {"std", "pro"}),
        ("kling effect --duration ", {"5", "10"}),
        ("kling effect --model kling-v1-", {"kling-v1-5", "kling-v1-6"}),
        ("kling effect --quiet hug --verb", {"--verbose"}),
        ("kling effect -- squi", {"squish"}),
    ],
)
def test_what_is_offered(ask: Ask, line: str, words: set[str], desk: Path) -> None:
    """Commands, scenes, titles, files, settings and values are offered where they can stand."""
    assert set(ask(line, desk)) - {""} == words


@every_shell
@pytest.mark.parametrize("line", ["kling effect hug --mode=p", "kling effect --mode=p"])
def test_a_value_behind_an_equals_sign(ask: Ask, line: str, desk: Path) -> None:
    """A value is offered, too, where it is joined to its option."""
    (word,) = ask(line, desk)
    assert word.removeprefix("--mode=") == "pro"


@every_shell
@pytest.mark.parametrize("given", ["-q", "--quiet"])
def test_an_option_is_given_once(ask: Ask, given: str, desk: Path) -> None:
    """An option that stands there is not offered again, by none of its names."""
    status = next(command for command in PROGRAM.commands if command.path[-1] == "status")
    offered = set(ask(f"kling status {given} --json -", desk))
    assert offered == find_names(status) - {"-q", "--quiet", "--json"}


@every_shell
@pytest.mark.parametrize("command", ["status", "wait"])
def test_the_tasks_of_this_machine_are_offered(
    ask: Ask, command: str, kling: Program, desk: Path
) -> None:
    """Their ids come newest first from the journal; those that stand there are left out."""
    for photo in (PHOTO, OTHER_PHOTO):
        kling("effect", "squish", photo, "--sandbox", "--no-wait")
        kling.clock.sleep(60)
    newest, oldest = (line.split("\t")[0] for line in kling("tasks").lines)
    assert list(ask(f"kling {command} ", desk)) == [newest, oldest]
    assert list(ask(f"kling {command} {newest} ", desk)) == [oldest]


@every_shell
def test_a_task_without_an_id_is_offered_by_its_external_one(
    ask: Ask, kling: Program, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may have been bought can be looked for, though the service never told its id."""
    monkeypatch.setenv("KLING_TOKEN", "sandbox-no-lookup")
    assert kling("effect", "squish", PHOTO, "--sandbox").code == 9
    (line,) = kling("tasks").lines
    assert line.startswith("-\t")
    assert list(ask("kling status ", desk)) == [line.split("\t")[-1]]


@every_shell
def test_without_a_journal_nothing_is_offered(ask: Ask, desk: Path) -> None:
    """A machine that has bought nothing has no task to offer, and nothing is said about it."""
    assert set(ask("kling status ", desk)) <= find_names(PROGRAM) | {""}
    assert not [word for word in ask("kling wait ", desk) if word]


@every_shell
def test_without_the_program_nothing_is_said(ask: Ask, desk: Path) -> None:
    """Where `kling` is not on PATH, its tasks are left out, without a word."""
    assert not [
        word for word in ask("kling wait ", desk, environ={"PATH": "/usr/bin:/bin"}) if word
    ]


@every_shell
@pytest.mark.parametrize("line", ["kling effect -o my", "kling effect hug --output=my"])
def test_files_are_offered_behind_an_option(
    ask: Ask, line: str, tmp_path: Path, desk: Path
) -> None:
    """An option that takes a file offers files, whether its value is joined to it or not."""
    first, *others = PROGRAM.commands
    option = Option(
        names=("-o", "--output"), metavar="FILE", kind=Kind.FILES, help="", repeats=False
    )
    saving = replace(first, options=(option,))
    program = replace(PROGRAM, commands=(saving, *others))
    script = save(tmp_path, "script", WRITERS[ask](program, list_words()))
    (word,) = ask(line, desk, script=script)
    assert word.removeprefix("--output=") == "my photo.jpg"


@every_shell
def test_an_option_that_repeats_is_offered_again(ask: Ask, tmp_path: Path, desk: Path) -> None:
    """An option that may be given more than once stays among those that are offered."""
    first, *others = PROGRAM.commands
    option = Option(names=("--from",), metavar="FILE", kind=Kind.FILES, help="", repeats=True)
    program = replace(PROGRAM, commands=(replace(first, options=(option,)), *others))
    script = save(tmp_path, "script", WRITERS[ask](program, list_words()))
    (word,) = ask("kling effect --from photo.jpg --fr", desk, script=script)
    assert word.rstrip("=") == "--from"


@every_shell
def test_words_with_blanks_are_one_word(ask: Ask, tmp_path: Path, desk: Path) -> None:
    """A scene of strange characters is offered, quoted so that the shell takes it as one word."""
    scene = 'a b: it\'s "c" $d (e)'
    words = {**list_words(), Kind.SCENES: {scene: HOSTILE}}
    script = save(tmp_path, "script", WRITERS[ask](PROGRAM, words))
    (offered,) = ask("kling effect a", desk, script=script)
    assert offered == scene


def test_zsh_finds_it_in_fpath(desk: Path) -> None:
    """Where an installer has linked it, zsh loads it by itself, the first time and after."""
    assert ask_zsh("kling effect squ", desk, autoloads=True) == ["squish", "squeeze_scream"]


def test_zsh_shows_titles_and_help(desk: Path) -> None:
    """Zsh lists each scene with its title, and each option with its help."""
    assert re.search(r"squish +-- 捏捏乐", list_zsh("kling effect squ", desk))
    assert re.search(r"--new +-- Buy again ", list_zsh("kling effect --ne", desk))
    assert re.search(r"effect +-- Make effect videos", list_zsh("kling ", desk))


def test_fish_shows_titles_and_help(desk: Path) -> None:
    """Fish lists each scene with its title, each option and command with its help."""
    assert ask_fish("kling effect squish", desk)["squish"] == "捏捏乐"
    assert ask_fish("kling effect --ne", desk)["--new"].startswith("Buy again ")
    assert {each.path[-1]: each.summary for each in PROGRAM.commands} == ask_fish("kling ", desk)


def test_tasks_are_shown_with_their_scene(kling: Program, desk: Path) -> None:
    """Beside a task's id stand its scene and its status."""
    task_id = kling("effect", "squish", PHOTO, "--sandbox", "--no-wait").out.strip()
    assert ask_fish("kling wait ", desk) == {task_id: "squish, submitted"}
    kling("effect", "squish", OTHER_PHOTO, "--sandbox", "--no-wait")
    assert f"{task_id} -- squish, submitted" in list_zsh("kling wait ", desk)


def make_hostile() -> Command:
    """Make a program whose every text has all the characters that a shell could stumble over."""
    first, *others = PROGRAM.commands
    option = replace(first.options[0], help=HOSTILE, metavar=HOSTILE, kind=Kind.NOTHING)
    hostile = replace(first, options=(option,), summary=HOSTILE)
    return replace(PROGRAM, commands=(hostile, *others))


def test_zsh_shows_any_text(tmp_path: Path, desk: Path) -> None:
    """Help with quotes, brackets and colons is shown as it is."""
    script = save(tmp_path, "_kling", zsh.write(make_hostile(), list_words()))
    assert f"-- {HOSTILE}" in list_zsh("kling eff", desk, script=script)
    assert f"-- {HOSTILE}" in list_zsh("kling effect -", desk, script=script)


def test_fish_shows_any_text(tmp_path: Path, desk: Path) -> None:
    """Help with quotes, brackets and colons is shown as it is."""
    script = save(tmp_path, "kling.fish", fish.write(make_hostile(), list_words()))
    assert ask_fish("kling eff", desk, script=script) == {"effect": HOSTILE}
    assert set(ask_fish("kling effect -", desk, script=script).values()) == {HOSTILE}


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_quoted_text_is_one_word(text: str) -> None:
    """Between single quotes, every text is one word of bash and zsh, and unchanged."""
    assert shlex.split(bash.quote(text)) == [text]


@given(word=PRINTABLE)
def test_an_escaped_word_is_one_word(word: str) -> None:
    """With backslashes, every printable word is one word on a command line, and unchanged."""
    assert shlex.split(bash.escape(word)) == [word]


def read_powershell(text: str) -> str:
    """Read one quoted value as PowerShell does: any of five apostrophes closes it, two are one."""
    if text.startswith("(-join [char[]]("):
        units = re.findall(r"0x([0-9a-f]{4})", text)
        return b"".join(int(unit, 16).to_bytes(2, "little") for unit in units).decode("utf-16-le")
    assert re.fullmatch(r"'(?:[^'\u2018-\u201b]|['\u2018-\u201b]{2})*'", text)
    return re.sub(r"(['\u2018-\u201b])\1", r"\1", text[1:-1])


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_of_powershell_is_unchanged(text: str) -> None:
    """Every text is one value of PowerShell, unchanged, and written in ASCII."""
    quoted = powershell.quote(text)
    assert quoted.isascii() or not text.isascii()
    assert read_powershell(quoted) == text


def test_the_powershell_script_is_balanced() -> None:
    """Every quote and bracket is closed, whatever the texts; and nothing but ASCII stands there."""
    for program in (PROGRAM, make_hostile()):
        script = powershell.write(program, list_words())
        assert script.isascii()
        code = re.sub(r"'(?:[^']|'')*'", "''", re.sub(r"^ *#.*$", "", script, flags=re.MULTILINE))
        closing = {")": "(", "]": "[", "}": "{"}
        opened: list[str] = []
        for character in re.sub(r'"[^"\n]*"', "", code):
            if character in closing.values():
                opened.append(character)
            elif character in closing:
                assert opened.pop() == closing[character]
        assert opened == []


def test_the_powershell_script_names_everything() -> None:
    """Each command, option, help text, scene and setting is among its values."""
    script = PATHS["kling.ps1"].read_text(encoding="utf-8")
    values = set(map(read_powershell, re.findall(r"'(?:[^'\n]|'')*'", script)))
    titles = {read_powershell(value) for value in re.findall(r"\(-join [^)]*\)\)", script)}
    for command in PROGRAM.walk():
        assert find_names(command) <= values
        assert {option.help for option in command.options} <= values
        assert command.name in values
    assert {scene.name for scene in catalogue()} <= values
    assert {scene.title for scene in catalogue() if scene.title} <= titles
    assert {key.name for key in KEYS} <= values


@pytest.mark.parametrize(
    ("line", "expected"),
    [('kling effect "squis', "squish"), ("kling effect squish my\\ ", "my photo.jpg")],
)
def test_bash_goes_on_within_quotes(line: str, expected: str, desk: Path) -> None:
    """What has been begun with a quote or a backslash is completed within it."""
    (word,) = ask_bash(line, desk)
    assert word.strip() == expected


def test_bash_without_its_equals_sign(desk: Path, tmp_path: Path) -> None:
    """Whoever has taken the equals sign from bash's word breaks gets values behind it, too."""
    script = PATHS["kling.bash"].read_text(encoding="utf-8")
    other = save(tmp_path, "kling.bash", f"COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}\n{script}")
    assert [
        word.removeprefix("--mode=")
        for word in ask_bash("kling effect --mode=p", desk, script=other)
    ] == ["pro"]
