"""A function is ablated without any YAML: the same ledger, verdicts and resume as from the command line."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asyrp_sweep import Study, UserError, ablate, open_space
from orchestrator.cli.parser import main

CALLS: list[tuple[int, int]] = []


def bonus(width: int) -> float:
    return 0.5 * width


def score(width: int, rate: float, seed: int, report: Any) -> dict[str, float]:
    CALLS.append((width, seed))
    report(epoch=1, loss=rate)
    return {"score": bonus(width) + 0.01 * seed + 0.001 * (width * seed % 7)}


def ablated(**changes: Any) -> Study:
    given = {"axes": {"width": [8, 16]}, "seeds": 6, "margin": 0.1, **changes}
    return ablate(score, baseline={"width": 4, "rate": 0.1}, metric="score", inline=True, quiet=True, **given)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CALLS.clear()


def test_a_function_gets_a_verdict_for_every_value() -> None:
    study = ablated()

    assert [contrast.verdict for contrast in study.contrasts] == ["helps", "helps"]
    assert study.contrasts[0].mean == pytest.approx(2.0, abs=0.01)
    assert len(CALLS) == 18
    assert set(study.trials["status"]) == {"done"}
    assert study.curves["loss"].unique().tolist() == [0.1]
    assert study.failed.empty


def test_a_second_call_runs_only_what_is_missing() -> None:
    ablated(seeds=2)
    ablated()
    ablated(axes={"width": [8, 16, 32]})

    assert len(CALLS) == len(set(CALLS)) == 24


def test_a_study_shows_itself_in_a_notebook_and_on_a_terminal() -> None:
    study = ablated()

    console = Console(width=100, record=True, file=StringIO())
    console.print(study)

    assert repr(study).startswith(
        "score: score against 4; 18 of 18 trials done\n  8 helps, by at least the margin: +1.9995 ["
    )
    assert "│ 8    │ helps, by at least" in console.export_text()
    assert "<td>8</td><td>helps, by at least the margin</td>" in study._repr_html_()
    assert study.figure("effects").axes
    assert study.report().read_text().startswith("<!doctype html>")


def test_a_study_that_has_not_run_says_so() -> None:
    study = ablated(run=False)

    assert repr(study) == "<Study score: 18 trials planned, none has run>"
    assert list(study.plan.columns) == ["cell", "seed", "signature", "width"]
    assert CALLS == []


def test_what_it_did_can_be_saved_and_run_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    study = ablated()
    study.save_yaml("score.yaml")

    assert main(["run", "score.yaml", "--inline", "--no-price"]) == 0

    assert "18 trials: 18 done, 0 to run" in " ".join(capsys.readouterr().out.split())


def test_a_space_opens_as_a_file_a_shipped_name_or_its_content() -> None:
    shipped = open_space("encoder", seeds=2, settings={"training.epochs": 1})
    content = {
        "question": "?",
        "extends": "encoder",
        "seeds": [0],
        "primary": {"metric": "s_dir", "margin": 0.1},
    }

    assert len(shipped.plan) == 10
    assert len(open_space(content, name="mine").plan) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"widht": [8]}}, "expected the path of a setting; found 'widht'; did you mean width?"),
        ({"margin": 0}, "primary.margin: expected more than 0; found 0"),
        ({"seeds": 0}, "seeds: expected at least 1 seed; found 0"),
    ],
)
def test_bad_arguments_are_one_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        ablated(**changes)

    assert message in str(raised.value)


def test_a_function_without_a_seed_is_refused() -> None:
    with pytest.raises(UserError, match="the function takes no `seed`; it takes width"):
        ablate(lambda width: {"x": 1}, baseline={"width": 1}, axes={"width": [2]}, metric="x", margin=1)
