"""Commands, lists and checks that families add to `asyrp-sweep`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.parser import main
from trainables.command_line import command_lines

FILE = """
from trainables.command_line import Command, CommandLine
from trainables.family import Family
from trainables.settings import Settings

class Config(Settings):
    width: int = 4

def show(options, console, command_line):
    console.print(f"width {options.width}, given as: {command_line}")
    return 3

def add_options(parser):
    parser.add_argument("--width", type=int, default=1)

FAMILY = Family("mine", Config, lambda config, seed, report: {"score": 1.0}, metrics={"score": "higher is better"})
COMMAND_LINE = CommandLine(commands=(Command("show", "show the width", show, add_options),))
"""


def test_the_file_of_a_family_has_commands_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)

    assert main(["./mine.py", "show", "--width", "7"]) == 3
    assert "width 7, given as: asyrp-sweep ./mine.py show --width 7" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["./mine.py", "--help"])
    assert "show the width" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "mine.py has no commands; a family's file may declare them as COMMAND_LINE"),
        ("import no_such_package", "mine.py:1 cannot be imported: ModuleNotFoundError"),
        (None, "mine.py is not there"),
    ],
)
def test_a_file_without_commands_is_one_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "mine.py").write_text(text)

    assert main(["mine.py", "show"]) == 2
    assert message in capsys.readouterr().err


def test_help_lists_the_commands_of_a_family_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    said = " ".join(capsys.readouterr().out.split())
    for line in command_lines()["h_space"].commands:
        assert f"{line.name} {line.help} (h_space)" in said


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a package that adds to the command line, for this test."""

    def install(source: str) -> None:
        (tmp_path / "further_commands.py").write_text(source)
        info = tmp_path / "further-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: further\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[asyrp_sweep.command_lines]\nfurther = further_commands:COMMAND_LINE\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


FURTHER = """
from trainables.command_line import Command, CommandLine, Listing

COMMAND_LINE = CommandLine(
    commands=(
        Command("hello", "say hello", "further_commands:hello"),
        Command("plan", "another plan", "further_commands:hello"),
    ),
    lists={"greetings": Listing(("greeting", "language"), lambda: [("hello", "English")])},
)

def hello(options, console, command_line):
    console.print("hello")
    return 0
"""


def test_an_installed_package_adds_commands_and_lists(
    installed: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "further_commands", raising=False)
    installed(FURTHER)

    assert main(["hello"]) == 0
    said = capsys.readouterr()
    assert said.out == "hello\n"
    assert "command plan of family further is left out: there is one of that name" in said.err
    assert main(["list", "greetings"]) == 0
    assert "English" in capsys.readouterr().out


def test_a_package_whose_commands_are_broken_stops_no_other_command(
    installed: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "further_commands", raising=False)
    installed("import no_such_package")

    assert main(["list", "spaces"]) == 0
    assert "the commands of family further cannot be used: ModuleNotFoundError" in capsys.readouterr().err
