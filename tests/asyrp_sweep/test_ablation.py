"""A function is ablated without any YAML: the same ledger, verdicts and resume as from the command line."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from asyrp_sweep import Study, UserError, ablate, open_space, open_study
from orchestrator.cli.parser import main
from trainables.function_family import FunctionFamily

CALLS: list[tuple[int, int]] = []


def bonus(width: int) -> float:
    return 0.5 * width


def score(width: int, rate: float, seed: int, report: Any) -> dict[str, float]:
    CALLS.append((width, seed))
    report(epoch=1, loss=rate)
    return {"score": bonus(width) + 0.01 * seed + 0.001 * (width * seed % 7)}


def kept(function: Callable[[int], int]) -> Callable[[int], int]:
    return function


twice = kept(lambda width: 2 * width)
add = kept(lambda width: width + 1)
multiply = kept(lambda width: width * 3)


OFFSET = 1


def squares(width: int, seed: int) -> dict[str, float]:
    return {"x": twice(add(width)) + seed + OFFSET}


def ablated(**changes: Any) -> Study:
    given = {"axes": {"width": [8, 16]}, "seeds": 6, "margin": 0.1, "metric": "score", **changes}
    return ablate(score, baseline={"width": 4, "rate": 0.1}, inline=True, quiet=True, **given)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CALLS.clear()


def cased(n: int, N: int, seed: int) -> dict[str, float]:
    return {"score": n + 10 * N + 0.01 * seed}


def test_settings_that_differ_in_capitals_alone_are_two_axes_and_a_table_needs_no_curve() -> None:
    study = ablate(
        cased,
        baseline={"n": 1, "N": 1},
        axes={"n": [2], "N": [2]},
        metric="score",
        margin=0.1,
        seeds=2,
        inline=True,
        quiet=True,
    )

    assert list(study.plan["cell"].unique()) == ["baseline", "n=2", "N_2=2"]
    assert study.plan.iloc[-1][["n", "N_2"]].tolist() == [1, 2]
    table = study.report().with_name("table.md").read_text()
    assert [line.split("|")[-2].strip() for line in table.splitlines()[2:]] == ["2", "2", "2"]


def test_texts_of_one_axis_that_differ_in_capitals_alone_are_refused() -> None:
    with pytest.raises(UserError, match="more than capitals; a is there already; leave out `path`"):
        ablate(
            score,
            baseline={"width": 4, "rate": "x"},
            axes={"rate": ["a", "A"]},
            metric="score",
            margin=0.1,
            seeds=2,
        )


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


def test_a_results_folder_is_read_without_its_space(tmp_path: Path) -> None:
    study = ablated()

    read = open_study(tmp_path / "results" / study.name)

    assert not hasattr(read, "run")
    assert (repr(read), read.verdicts) == (repr(study), study.verdicts)
    assert open_study(study.name).trials.equals(study.trials)
    with pytest.raises(UserError, match=f"holds no study.*did you mean {study.name}"):
        open_study(f"{study.name}x")


def test_a_name_that_the_package_lacks_is_told_the_nearest() -> None:
    import asyrp_sweep

    with pytest.raises(AttributeError, match="did you mean open_space"):
        asyrp_sweep.open_spaces  # noqa: B018


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
        ({"seeds": "six"}, "seeds: expected a count or a list of seeds; found 'six'"),
        ({"axes": {"width": 8}}, "axes['width']: expected a list of values; found 8"),
        ({"axes": {"width": "8"}}, "axes['width']: expected a list of values; found '8'"),
        (
            {"axes": {"width": [{8}]}},
            "axes['width'][0]: expected a number, text, a list or a mapping; found {8}",
        ),
        ({"metric": None}, "metric: expected the name of one that the function returns; found nothing"),
        (
            {"log_to": ["wanddb"]},
            "--log-to: expected tensorboard or wandb; found 'wanddb'; did you mean wandb?",
        ),
        (
            {"log_to": "wanddb"},
            "--log-to: expected tensorboard or wandb; found 'wanddb'; did you mean wandb?",
        ),
    ],
)
def test_bad_arguments_are_one_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        ablated(**changes)

    assert message in str(raised.value)


@pytest.mark.parametrize("value", [2, "2", (1, (2.5, "b"))])
def test_a_constant_of_its_module_that_a_function_reads_counts(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = FunctionFamily("squares", squares, {"width": 1}, {}, {"x": True})

    monkeypatch.setitem(globals(), "OFFSET", value)
    after = FunctionFamily("squares", squares, {"width": 1}, {}, {"x": True})

    assert after.code_digest != before.code_digest
    assert f"OFFSET = {value!r}" in after.file_text()


def test_what_a_function_closes_over_counts_by_its_content() -> None:
    def about(data: object) -> str:
        def mean(width: int, seed: int) -> dict[str, object]:
            return {"x": data}

        return FunctionFamily("mean", mean, {"width": 1}, {}, {"x": True}).code_digest

    ones = np.ones(5000)
    changed = ones.copy()
    changed[2500] = 2.0  # which its repr does not show

    assert repr(ones) == repr(changed)
    assert about(ones) == about(ones.copy())
    assert about(ones) != about(changed)
    assert about(Fraction(1, 2)) == about(Fraction(1, 2))


@pytest.mark.parametrize("used", ["twice", "add"])
def test_every_lambda_that_a_function_uses_counts(used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = FunctionFamily("squares", squares, {"width": 1}, {}, {"x": True})

    monkeypatch.setitem(globals(), used, multiply)

    assert FunctionFamily("squares", squares, {"width": 1}, {}, {"x": True}).code_digest != before.code_digest


def test_numbers_of_numpy_are_those_of_python() -> None:
    settings = {
        "axes": {"width": np.array([8, 2])},
        "seeds": np.int64(1),
        "margin": np.float64(0.02),
        "run": False,
    }

    plan = ablated(**settings).plan

    assert plan.equals(ablated(axes={"width": [8, 2]}, seeds=1, margin=0.02, run=False).plan)


def test_only_a_function_that_can_be_told_from_others_is_taken() -> None:
    settings: dict[str, Any] = {"baseline": {"width": 1}, "axes": {"width": [2]}, "metric": "x", "margin": 1}

    with pytest.raises(
        UserError, match=r"the source of a lambda cannot be told .* define the function with def"
    ):
        ablate(lambda width, seed: {"x": 1}, **settings)
    with pytest.raises(UserError, match=r"expected a function; found .*; define one with def that calls it"):
        ablate(partial(score, rate=1), **settings)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (
            {"width": 8},
            "the function cannot be called with width and seed: missing a required argument: 'rate'",
        ),
        ({"width": 8, "rate": 1.0, "depth": 2}, "got an unexpected keyword argument 'depth'"),
    ],
)
def test_a_baseline_that_the_function_cannot_take_is_refused_before_anything_runs(
    baseline: dict[str, Any], message: str
) -> None:
    def train(width: int, rate: float, seed: int) -> dict[str, float]:
        return {"x": width * rate}

    with pytest.raises(UserError) as raised:
        ablate(train, baseline=baseline, axes={"width": [2]}, metric="x", margin=1)

    assert message in str(raised.value)


def test_a_function_without_a_seed_is_refused() -> None:
    with pytest.raises(UserError, match="the function takes no `seed`; it takes width"):
        ablate(lambda width: {"x": 1}, baseline={"width": 1}, axes={"width": [2]}, metric="x", margin=1)
