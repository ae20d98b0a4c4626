"""What a command says and returns where files, streams and terminals are not as it would like them."""

import ast
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli import parser as cli
from orchestrator.ledger import LedgerError
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import describe, open_study
from orchestrator.study.reuse import found_elsewhere
from trainables.errors import UserError
from trainables.h_space.command_line import COMMAND_LINE

REPOSITORY = Path(__file__).parents[2]
INTERNAL = {
    "DamagedCheckpoint": "a worker starts the trial afresh",
    "DamagedPart": "the ledger names the part",
    "Interrupted": "ends a launch with 130 or 143",
    "LeaveTune": "leaves Tune's loop",
    "MetricMissing": "a command's trial fails with its words",
    "TooLarge": "a figure is left out of the report, with the reason",
    "Unreadable": "a command's trial fails with its words",
    "_NoLocks": "a command's folder is used without a lock",
    "_Over": "ends the compacting thread",
    "_Refused": "the YAML loader gives it its line",
    "_Stopped": "ends the thread of a train function",
}
"""Exceptions that reach nobody, and what is made of them."""

NOBODY = 65534
"""The user without rights, on Linux and elsewhere."""

Answer = tuple[int, str, str]


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """Run a command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def study(space_file: Path, tmp_path: Path) -> Path:
    """A study of which nothing has run; its question has letters that not every terminal has."""
    space_file.write_text(space_file.read_text().replace("Does the", "ε, does the"), encoding="utf-8")
    found = open_study(load_space(space_file), tmp_path / "results")
    describe(found)
    return found.folder


@pytest.fixture
def without_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output is a pipe whose reader has gone, as after `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield


# Errors


def exceptions() -> Iterator[tuple[str, type[BaseException]]]:
    """Every exception class of the product, by name."""
    for package in ("orchestrator", "trainables", "analysis"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.bases]
            if not any(part in ast.dump(tree) for part in ("Exception'", "Error'", "LeaveTune")) or not names:
                continue
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            for name in names:
                kind = getattr(module, name, None)
                if isinstance(kind, type) and issubclass(kind, BaseException):
                    yield name, kind


def test_every_exception_reaches_the_user_as_a_message_or_is_for_us_alone() -> None:
    found = dict(exceptions())

    assert len(found) > 15
    told = {name for name, kind in found.items() if issubclass(kind, (UserError, LedgerError))}
    assert found.keys() - told == INTERNAL.keys()


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--results", "file"),
        ("status", "rates", "--results", "file"),
        ("status", "rates", "--json", "--results", "file"),
        ("explain", "baseline:0", "--results", "file"),
        ("report", "rates", "--results", "file"),
        ("report", "rates", "--out", "file"),
        ("run", "rates.yaml", "--inline", "--yes", "--no-price", "--results", "file"),
        ("edit", "--faces", "1", "--editor", "best", "--study", "rates", "--results", "file"),
        ("import-editor", "nothing.pth", "--attribute", "smiling"),
        ("convert-backbone", "nothing.pt"),
        ("export-editor", "nothing.safetensors"),
        ("pretrain", "avatars", "--out", "file"),
        ("pretrain", "avatars_ldm", "--out", "file"),
        ("pretrain", "avatars_ldm", "--out", "out", "--clip-steps", "1"),
    ],
)
def test_what_the_system_refuses_is_one_message(
    command: Callable[..., Answer], study: Path, arguments: tuple[str, ...]
) -> None:
    Path("file").touch()

    code, out, err = command(*arguments)

    assert code == 2
    assert err.strip()
    assert "Traceback" not in err
    assert "Errno" not in err
    assert out == "" or "--json" not in arguments


# Streams


@pytest.mark.usefixtures("without_reader")
@pytest.mark.parametrize("arguments", [("schema",), ("list", "metrics"), ("status", "--json"), ("status",)])
def test_a_reader_that_has_seen_enough_is_no_error(
    study: Path, tmp_path: Path, arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    results = ("--results", str(tmp_path / "results")) if arguments[0] == "status" else ()

    assert cli.main([*arguments, *results]) == 0
    sys.stdout.flush()
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("schema",), ("list", "metrics")])
def test_output_that_cannot_be_written_is_told_once(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        code = cli.main(arguments)

    assert code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "No space left on device" in line


def test_closed_streams_are_no_error(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    assert cli.main(["status", str(study)]) == 0
    assert cli.main(["status", str(study.parent / "nothing")]) == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_a_letter_gets_it_spelled(
    study: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    monkeypatch.setenv("NO_COLOR", "1")

    code = cli.main(["status", str(study)])

    assert code == 0
    assert ("ε, does" if encoding == "utf-8" else "\\u03b5, does") in content.getvalue().decode(encoding)


@pytest.mark.parametrize("what", [*cli.OWN_LISTS, *COMMAND_LINE.lists])
def test_forty_columns_are_enough(
    command: Callable[..., Answer], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    code, out, _ = command("list", what)

    assert code == 0
    assert max(map(len, out.splitlines())) <= 40


# Studies that cannot be read


def broken(results: Path) -> None:
    """Folders with what a newer release, another program, a cut write or nobody left as their study."""
    for name, content in {
        "binary": b"\xff\xfe\x00",
        "cut": b'{"schema_version": 1, "na',
        "deep": b"[" * 100_000,
        "foreign": b'{"name": "x", "scripts": {}}',
        "list": b"[1]",
        "newer": b'{"schema_version": 99}',
        "null": b"null",
        "package": b'{"schema_version": 1, "name": "x", "cells": {}, "axes": []}',
        "words": b'{"schema_version": "one"}',
    }.items():
        (results / name).mkdir()
        (results / name / "study.json").write_bytes(content)
    (results / "half" / "ledger").mkdir(parents=True)
    (results / "folder" / "study.json").mkdir(parents=True)
    (results / "photos").mkdir()


NAMES = ["binary", "cut", "deep", "folder", "foreign", "half", "list", "newer", "null", "package", "words"]


def test_studies_that_cannot_be_read_are_named_and_the_others_shown(
    command: Callable[..., Answer], study: Path
) -> None:
    broken(study.parent)

    code, out, err = command("status")
    as_json = command("status", "--json")

    assert (code, as_json[0]) == (2, 2)
    assert "4 waiting" in out
    assert [
        line.removeprefix(f"{study.parent}/").split("/")[0].split()[0] for line in err.splitlines()
    ] == NAMES
    assert [one["name"] for one in json.loads(as_json[1])] == ["rates"]
    assert as_json[2] == err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (words, name)
        for words in (("status", "--json"), ("report",), ("run", "--inline", "--no-price"))
        for name in NAMES
        if (words[0], name) != ("run", "half")  # A launch goes on where there is a ledger alone.
    ],
)
def test_a_study_that_cannot_be_read_is_one_message(
    command: Callable[..., Answer], study: Path, space_file: Path, name: str, words: tuple[str, ...]
) -> None:
    broken(study.parent)
    renamed = space_file.with_name(f"{name}.yaml")
    renamed.write_text(space_file.read_text(encoding="utf-8"), encoding="utf-8")

    code, out, err = command(words[0], str(renamed), *words[1:])

    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert str(study.parent / name) in err


@pytest.mark.parametrize("value", [None, 3, "x", [], [3], {}, {"x": 3}], ids=repr)
def test_a_study_with_anything_in_the_place_of_a_value_is_read_or_named(
    command: Callable[..., Answer], study: Path, space_file: Path, value: object
) -> None:
    file = study / "study.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    (cell, *cells), trial = whole["cells"], whole["cells"][0]["trials"][0]
    changed = [whole | {key: value} for key in whole]
    changed += [whole | {"cells": [cell | {key: value}, *cells]} for key in cell]
    changed += [whole | {"cells": [cell | {"trials": [trial | {key: value}]}, *cells]} for key in trial]

    told = []
    for content in changed:
        file.write_text(json.dumps(content), encoding="utf-8")
        for words in (
            ("status",),
            ("status", "--json"),
            ("explain", "baseline:0"),
            ("plan", str(space_file), "--no-price"),
        ):
            code, _, err = command(*words)
            told.append((code, bool(err)))

    assert set(told) == {(0, False), (2, True)}


def test_a_trial_is_explained_whatever_lies_beside_its_study(
    command: Callable[..., Answer], study: Path
) -> None:
    broken(study.parent)

    code, out, err = command("explain", "baseline:0")
    missing = command("explain", "baseline:7")

    assert (code, err) == (0, "")
    assert "not started" in out
    assert missing[0] == 2
    assert "holds no trial 'baseline:7'" in missing[2]
    assert f"{study.parent / 'newer' / 'study.json'} was written by a newer asyrp-sweep" in missing[2]


@pytest.fixture
def results_of_others(study: Path) -> Iterator[Path]:
    """A results folder with a study, one that this process may not read, and one whose ledger it may not."""
    importlib.import_module("pyarrow.compute")  # now: nobody may not import from a home that is closed
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to all but their owner
        results = Path(name)
        results.chmod(0o755)
        shutil.copytree(study, results / study.name)
        shutil.copytree(study, results / "half_closed")
        locked = [results / "closed", results / "half_closed" / "ledger" / "trials"]
        for folder in locked:
            folder.mkdir(parents=True)
            folder.chmod(0o000)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield results
        finally:
            os.seteuid(user)
            for folder in locked:
                folder.chmod(0o755)


def test_a_study_whose_folder_may_not_be_read_is_named(
    command: Callable[..., Answer], results_of_others: Path
) -> None:
    code, out, err = command("status", "--results", str(results_of_others))

    assert code == 2
    assert "4 waiting" in out
    first, second = err.splitlines()
    assert str(results_of_others / "closed") in first
    assert str(results_of_others / "half_closed") in second
    assert err.count("Permission denied") == 2


def test_a_study_that_may_not_be_read_offers_no_trial_and_stops_no_launch(results_of_others: Path) -> None:
    assert found_elsewhere({"signature": ""}, results_of_others / "rates") == {}


COMMAND_SPACE = """
question: Which animal?
family: command
baseline: {command: "echo {seed} {x}", metrics: {a: higher is better}, settings: {x: dog}}
axes: {x: {path: settings.x, values: [dog, ELSE]}}
seeds: 1
primary: {metric: a, margin: 1.0}
"""


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("[3]", "baseline.metrics.a: expected a mapping; found a list"),
        (
            "{better: more}",
            "baseline.metrics.a.better: expected higher is better or lower is better; found 'more'",
        ),
        (
            "{better: lower is better, of_last: 3}",
            "baseline.metrics.a.of_last: needs `take: mean` or `take: best`; found take: last",
        ),
    ],
)
def test_a_wrong_metric_is_one_mistake_wherever_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, message: str
) -> None:
    space = tmp_path / "animals.yaml"
    space.write_text(COMMAND_SPACE.replace("a: higher is better", f"a: {metric}"))

    assert cli.main(["plan", str(space)]) == 2

    told = capsys.readouterr().err.splitlines()
    assert told == [f"{space}:4  {message}", "1 problem. No trial was started."]


@pytest.mark.parametrize(
    ("name", "lacking"),
    [("\N{CJK UNIFIED IDEOGRAPH-732B}", True), ("\N{GREEK SMALL LETTER XI} – été", False)],
)
def test_letters_that_no_font_has_are_told_by_plan(
    command: Callable[..., Answer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    lacking: bool,
) -> None:
    monkeypatch.setattr("analysis.style.FALLBACK_FONTS", ())
    (tmp_path / "animal.yaml").write_text(COMMAND_SPACE.replace("ELSE", name), encoding="utf-8")

    _, out, _ = command("plan", "animal.yaml", "--no-price")

    assert (f"note: no font here has {name} (axes.x): figures show empty boxes instead" in out) is lacking


@pytest.mark.parametrize("results", ["animal.yaml", "animal.yaml/results"])
@pytest.mark.parametrize("name", ["plan", "run"])
def test_results_that_are_a_file_are_refused_before_anything_is_shown(
    command: Callable[..., Answer], tmp_path: Path, results: str, name: str
) -> None:
    (tmp_path / "animal.yaml").write_text(COMMAND_SPACE, encoding="utf-8")

    code, out, err = command(name, "animal.yaml", "--results", results)

    assert (code, out) == (2, "")
    assert err == f"{tmp_path}/animal.yaml is a file; choose a folder with --results\n"


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_results_behind_a_link_that_leads_nowhere_are_refused(
    command: Callable[..., Answer], tmp_path: Path, target: str
) -> None:
    (tmp_path / "animal.yaml").write_text(COMMAND_SPACE, encoding="utf-8")
    (tmp_path / "link").symlink_to(target)

    code, out, err = command("plan", "animal.yaml", "--results", "link/results")

    assert (code, out) == (2, "")
    assert err == f"{tmp_path}/link is a link that leads nowhere; choose another folder with --results\n"


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_width_of_nothing_is_that_of_a_pipe(
    command: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    (tmp_path / "animal.yaml").write_text(COMMAND_SPACE, encoding="utf-8")
    monkeypatch.setenv("COLUMNS", columns)

    _, out, _ = command("plan", "animal.yaml", "--no-price")

    assert "baseline       1     0" in out
