"""Every code block of the README and of docs/ does what its page says.

A block may have an HTML comment directly above it, which readers do not see:
    file: NAME        the block is written to that file, for the blocks after it
    part of: NAME     keys of a space; what it leaves out is as in a shipped one or in such a file
    run               commands are run to their end, not only parsed
    output            every line stands in what the commands before it on the page have printed
    not run: REASON   nothing is done with it
Without one, a `yaml` block is a whole space and is planned, or a domain and is read; `python` is run, and of `bash`
every call of asyrp-sweep is parsed; `plan`, `list` and `schema` are run. Blocks of a page share a folder, in which the
tutorial's study has run.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import parser as cli
from orchestrator.cli.figure_checks import check_figures
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import open_study
from search_spaces import shipped_spaces
from trainables.h_space.domains.files import read_domain_source
from trainables.plugins import use
from trainables.yaml_tree import read_yaml, write_yaml

ROOT = Path(__file__).parents[2]
TUTORIAL = "docs/tutorial.md"
BLOCK = re.compile(r"(?:<!-- *(?P<mark>.*?) *-->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
RESULTS = re.compile(r"docs/results/\w+/.*")
"""Tables as reports wrote them; no page that somebody wrote."""
QUICK = ("plan", "list", "schema")


@dataclass(frozen=True)
class Block:
    """A fenced block and the comment above it."""

    place: str
    language: str
    text: str
    mark: str

    def value_of(self, mark: str) -> str | None:
        """What stands after `mark:` in the comment; None for another comment."""
        name, colon, value = self.mark.partition(":")
        return value.strip() if colon and name == mark else None


@dataclass
class Reader:
    """Somebody who follows a page, block after block, in the present folder."""

    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "reader"})
    """What the Python blocks of the page have defined so far."""
    printed: io.StringIO = field(default_factory=io.StringIO)
    """What its commands have printed so far."""

    def follow(self, block: Block) -> None:
        """Do what a block says. Raises AssertionError, or what its code raises."""
        if block.value_of("not run") is not None:
            return
        file = block.value_of("file")
        if file is not None:
            Path(file).write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            _plan(block, file)
        elif block.language == "python" and file is None:
            self._execute(block)
        elif block.language == "bash":
            with contextlib.redirect_stdout(self.printed):
                _type(block)
        elif block.mark == "output":
            printed = " ".join(self.printed.getvalue().split())
            for line in block.text.splitlines():
                assert " ".join(line.split()) in printed, line

    def _execute(self, block: Block) -> None:
        file = Path(f"{re.sub(r'[^0-9a-z]+', '_', block.place)}.py")  # functions need a source
        file.write_text(block.text, encoding="utf-8")
        exec(compile(block.text, str(file.absolute()), "exec"), self.names)


def _plan(block: Block, file: str | None) -> None:
    text, whole = block.text, block.value_of("part of")
    if whole is not None:
        text = write_yaml(_completed(read_yaml(text).content, whole))
    path = Path(file or "of_the_page.yaml")
    path.write_text(text, encoding="utf-8")
    if "diffusion" in read_yaml(text).content:
        read_domain_source(str(path))
        return
    study = open_study(load_space(str(path), extra_checks=[check_figures]), Path("results"))
    assert study.plan.trials


def _completed(part: dict[str, Any], whole: str) -> dict[str, Any]:
    """A space from some of its keys. Claims and figures of the whole may be about axes that it does not have."""
    file = shipped_spaces().get(whole, Path(whole))
    content = read_yaml(file.read_text(encoding="utf-8")).content
    kept = {key: value for key, value in content.items() if key not in ("claims", "figures")}
    return {**kept, **part, "baseline": {**content["baseline"], **part.get("baseline", {})}}


def _type(block: Block) -> None:
    for words in _commands(block.text):
        options = cli.parsed(words)
        space = getattr(options, "space", None) if options.command in ("run", "plan", "tune") else None
        assert space is None or space in shipped_spaces() or _is_file(space), shlex.join(words)
        if block.mark == "run" or options.command in QUICK:
            words += ["--no-price"] if options.command == "plan" else []
            assert cli.main(words) == 0, shlex.join(words)


def _is_file(name: str) -> bool:
    """In the reader's folder, or in the repository, where the README's commands are typed."""
    return Path(name).is_file() or (ROOT / name).is_file()


def _commands(text: str) -> Iterator[list[str]]:
    """The words after `asyrp-sweep` of each of its calls in lines of a shell."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|", line):
            words = shlex.split(part, comments=True)
            if words and words[0].rpartition("/")[2] == cli.PROGRAM:
                yield [os.path.expandvars(word) for word in words[1:]]


def _pages() -> list[str]:
    written = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    return ["README.md", *sorted(page for page in written if not RESULTS.fullmatch(page))]


def _blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            f"{page}:{text.count(chr(10), 0, found.start('text'))}",
            found["language"],
            found["text"],
            " ".join((found["mark"] or "").split()),
        )
        for found in BLOCK.finditer(text)
    ]


def _follow(page: str) -> None:
    reader = Reader()
    for block in _blocks(page):
        try:
            reader.follow(block)
        except Exception as error:
            error.add_note(f"in the {block.language} block at {block.place}")
            raise


@pytest.fixture(autouse=True)
def _no_plugins_are_left() -> Iterator[None]:
    yield
    use()


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has followed the tutorial."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _follow(TUTORIAL)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in _pages() if _blocks(page)])
def test_the_blocks_of_a_page_do_what_it_says(
    page: str, tutorial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == TUTORIAL:
        return  # The fixture has followed it.
    shutil.copytree(tutorial, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    _follow(page)


@pytest.mark.parametrize("page", _pages())
def test_a_comment_above_a_block_is_one_that_means_something(page: str) -> None:
    marks = [(block.place, block.mark) for block in _blocks(page) if block.mark]

    known = re.compile(r"(file|part of): [\w./-]+|run|output|not run: \w.{9,}|test-command")
    assert [(place, mark) for place, mark in marks if not known.fullmatch(mark)] == []
