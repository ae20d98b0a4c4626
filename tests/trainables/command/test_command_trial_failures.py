"""How a trial of a command fails, and what is quoted of the command's output."""

from pathlib import Path

import pytest
from command_trials import FOREVER, Build, failure, folder_of, run

HELPERS = """
import json, math, sys
FOLDER = sys.argv[1]
def metrics(text): open(FOLDER + "/metrics.json", "w").write(text)
def curve(text): open(FOLDER + "/curve.jsonl", "w").write(text)
"""


# How it can fail


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("print('a line'); raise SystemExit(3)", ["exit code 3", "  a line"]),
        ("import os; print('said', flush=True); os.kill(os.getpid(), 9)", ["SIGKILL (often: out of memory)", "said"]),
        ("1 / 0", ["exit code 1", "ZeroDivisionError: division by zero"]),
        ("raise SystemExit(1)", ["exit code 1\nIt printed nothing."]),
        ("pass", ["one of metrics.json, ", "it is empty", "metrics_file"]),
        ("open(FOLDER + '/out.txt', 'w')", ["it holds out.txt"]),
        ("metrics('{\"accuracy\": ')", ["metrics.json:1 is not JSON", "Expecting value"]),
        ("metrics('{\"accuracy\": null}')", ["metrics.json: accuracy: expected a number; found nothing"]),
        ("metrics('[1]')", ["expected a JSON object", "found 1"]),
        ("open(FOLDER + '/metrics.json', 'wb').write(b'\\xff\\xfe')", ["metrics.json is not UTF-8 text"]),
        ("metrics(json.dumps({'accuracy': math.nan}))", ["accuracy: expected a finite number; found nan"]),
        ("metrics(json.dumps({'accuracy': '0.9'}))", ["found the text '0.9'; write it without quotes"]),
        ("metrics(json.dumps({'accuracy': 'good'}))", ["accuracy: expected a number; found 'good'"]),
        ("metrics(json.dumps({'accuracy': True}))", ["accuracy: expected a number; found true"]),
        ("metrics(json.dumps({'accuracy': 10**400}))", ["one that is too large"]),
        ("metrics(json.dumps({'acuracy': 1}))", ["the metric accuracy is missing", "did you mean acuracy?"]),
        ("metrics('[' * 100000)", ["nested too deeply"]),
        ("curve('{\"epoch\": 1}\\n{\"epoch\":\\n')", ["curve.jsonl:2 is not JSON"]),
        ("curve('{\"loss\": \"0.5\"}\\n')", ["curve.jsonl:1: loss: expected a number"]),
        ("import shutil; shutil.rmtree(FOLDER)", ["it is empty"]),
        ("import os; open(os.fsencode(FOLDER) + b'/\\xff', 'w')", ["it holds \\udcff"]),
        ("open(FOLDER + '/curve.csv', 'w').write('epoch,loss\\n1,2,3\\n')", ["curve.csv:2: expected 2 cells; found 3"]),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_with_the_last_lines(build: Build, source: str, told: list[str]) -> None:
    trial = build(HELPERS + source)

    message = failure(trial)

    assert [part for part in told if part not in message] == []
    assert f"Its folder: {folder_of(trial).parent}" in message


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["pyhton", "{seed}"], "pyhton cannot be found on the PATH"),
        (["./absent.sh", "{seed}"], "./absent.sh cannot be found in "),
        (["./plain.sh", "{seed}"], "./plain.sh is not executable; run chmod +x on it"),
        (["./empty.sh", "{seed}"], "./empty.sh is no program; name its interpreter before it"),
        (["./lost.sh", "{seed}"], "./lost.sh: the interpreter that its first line names does not exist"),
        (["{python}", "\0", "{seed}"], "the command could not be run: embedded null byte"),
        (["{python}", "x" * 200_000, "{seed}"], "Argument list too long"),
    ],
)
def test_a_command_that_does_not_start_says_why(
    build: Build, tmp_path: Path, command: list[str], told: str
) -> None:
    for name, content, mode in (
        ("plain.sh", "#!/bin/sh\n", 0o644),
        ("empty.sh", "\x7f", 0o755),
        ("lost.sh", "#!/absent/sh\n", 0o755),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)

    assert told in failure(build(command=command, settings={}))


def test_a_working_folder_that_is_absent_is_named(build: Build) -> None:
    assert "the working folder /absent does not exist" in failure(build(working_folder="/absent"))


def test_the_time_limit_ends_a_command(build: Build) -> None:
    message = failure(build("print('begun', flush=True)\n" + FOREVER, time_limit_seconds=0.5))

    assert "exceeded its time limit of 0.5 s and was stopped" in message
    assert "  begun" in message


def test_a_failed_trial_leaves_another_one_undisturbed(build: Build) -> None:
    failure(build("raise SystemExit(1)"))

    assert run(build(seed=4)).summary["accuracy"] == 0.54


# What it prints


def test_megabytes_of_output_are_kept_at_both_ends(build: Build) -> None:
    source = (
        "print('first')\nfor number in range(60_000): print(number, 'x' * 100)\nraise SystemExit('the last')"
    )
    trial = build(source)

    message = failure(trial)

    log = folder_of(trial).parent / "output.log"
    assert message.splitlines()[-2] == "  the last"
    assert 2_000_000 < log.stat().st_size < 4_000_000
    text = log.read_text()
    assert text.startswith("first\n0 xxx")
    assert text.endswith("the last\n")
    assert "bytes left out ...]" in text
    assert [path.name for path in log.parent.glob("output*")] == ["output.log"]


def test_a_progress_bar_and_colours_are_quoted_as_a_terminal_shows_them(build: Build) -> None:
    source = (
        "import sys; sys.stdout.write('10%\\r50%\\r\\x1b[31m90%\\x1b[0m\\n\\x07bell\\n'); raise SystemExit(1)"
    )

    assert "  90%\n  \\x07bell" in failure(build(source))
