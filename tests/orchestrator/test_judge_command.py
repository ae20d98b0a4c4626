"""`asyrp-sweep judge`: verdicts over somebody else's results, from the command line."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cli import parser as cli

Command = Callable[..., tuple[int, str, str]]
ASKED = ("--variant", "model", "--seed", "seed", "--metric", "acc", "--baseline", "a", "--margin", "0.01")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in a folder with `r.csv`, in which b is better than a by 0.1, on an 80-column pipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        f"{model},{seed},{0.5 + gain + seed / 1000}"
        for model, gain in (("a", 0), ("b", 0.1))
        for seed in range(6)
    ]
    Path("r.csv").write_text("\n".join(["model,seed,acc", *rows]))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["judge", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_verdicts_are_shown_with_what_they_speak_for(command: Command) -> None:
    code, out, _ = command("r.csv", *ASKED)

    assert code == 0
    assert "acc against a (higher is better; margin 0.01" in out
    assert "Speaks for new seeds: 6 seeds." in out
    assert "b helps" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_every_format_says_the_same(command: Command) -> None:
    [contrast] = json.loads(command("r.csv", *ASKED, "--format", "json")[1])["contrasts"]
    [row] = csv.DictReader(io.StringIO(command("r.csv", *ASKED, "--format", "csv")[1]))
    table = command("r.csv", *ASKED, "--format", "markdown")[1]

    assert (contrast["variant"], contrast["verdict"]) == (row["variant"], row["verdict"]) == ("b", "helps")
    assert float(row["difference"]) == contrast["difference"]
    assert "| b | helps" in table


def test_figures_and_tables_are_written_where_asked(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("r.csv", *ASKED, "--out", "found")

    assert code == 0
    assert "Written: found" in out
    assert {path.name for path in (tmp_path / "found").iterdir()} >= {
        "effects.png",
        "effects.svg",
        "contrasts.tex",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("r.csv", *ASKED, "--metric", "ac"), "r.csv  no column 'ac'; did you mean acc?; its columns: "),
        (("r.csv", *ASKED, "--margin", "2%"), "--margin: 2% of what? Write a number"),
        (("none.csv", *ASKED), "none.csv  no such file\n"),
        (("r.csv", *ASKED, "--where", "seed"), "--where: expected COLUMN=VALUE; found 'seed'\n"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_exit_code_2(
    command: Command, arguments: tuple[str, ...], message: str
) -> None:
    code, out, error = command(*arguments)

    assert (code, out) == (2, "")
    assert error.startswith(message)
    assert error.count("\n") == 1


@settings(
    max_examples=80, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    content=st.binary(max_size=40) | st.text(st.sampled_from("ab01,.\n\"x"), max_size=60).map(str.encode),
    margin=st.sampled_from(["0.1", "1%", "x", "1% of baseline"]),
    extra=st.sampled_from([(), ("--item", "acc"), ("--missing", "count"), ("--over", "both"), ("--where", "seed=1")]),
)  # fmt: skip
def test_no_file_gives_another_exit_code_than_0_or_2(
    command: Command, content: bytes, margin: str, extra: tuple[str, ...]
) -> None:
    Path("any.csv").write_bytes(b"model,seed,acc\n" + content)

    code, out, error = command("any.csv", *ASKED, "--margin", margin, *extra)

    assert (code == 0 and out and not error) or (code == 2 and error and not out)
