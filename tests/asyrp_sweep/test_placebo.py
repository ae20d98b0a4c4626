"""A placebo is the baseline under other seeds, for any family; and plans say what their seeds can decide."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

from analysis.foresight import detectable, foresight
from analysis.placebo import noise_floor, placebo_contrast, placebo_sentence, placebo_warning
from analysis.report import build_report, verdict_lines
from asyrp_sweep import UserError, open_space
from orchestrator.ledger import read_study
from orchestrator.study.launch import as_launched

FAMILY = """
import numpy as np
from asyrp_sweep import Family, Settings

class Config(Settings):
    width: int = 4

def train(config, seed, report):
    report(epoch=1, loss=1.0)
    lift = 1.0 if seed >= 1_000_000 and config.width == 99 else 0.0
    score = 0.1 * config.width + lift + float(np.random.default_rng(seed).normal(0, 0.05))
    return {"score": score, "drawn": float(seed)}

FAMILY = Family("mine", Config, train, metrics={"score": "higher is better", "drawn": "higher is better"})
"""


def space(**changes: Any) -> dict[str, Any]:
    return {
        "question": "Does width matter?",
        "family": "./mine.py",
        "baseline": {"width": 4},
        "axes": {"width": {"path": "width", "values": [4, 8]}},
        "seeds": 6,
        "primary": {"metric": "score", "margin": 0.1},
        "placebo": True,
        **changes,
    }


@pytest.fixture(autouse=True)
def _in_a_folder_with_the_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(FAMILY)
    monkeypatch.chdir(tmp_path)


def test_the_placebo_is_the_baseline_under_other_seeds_and_shows_the_noise_floor(tmp_path: Path) -> None:
    study = open_space(space(), results=tmp_path / "results").run(inline=True, quiet=True)

    drawn = study.trials.groupby("cell", observed=False)["metric_drawn"].apply(sorted)
    assert drawn["baseline"] == drawn["width=8"] == list(range(6))
    assert drawn["placebo"] == list(range(1_000_000, 1_000_006))
    contrast = placebo_contrast(study.frames)
    assert contrast is not None
    assert contrast.n == 6
    assert placebo_warning(contrast) == ""
    floor = noise_floor(contrast)
    assert 0.02 < floor < 0.15
    assert "Noise floor" in placebo_sentence(contrast)
    assert [one.name for one in study.contrasts] == ["width=8"]  # it is no comparison of the study
    assert any(
        line.startswith("Placebo, the baseline under other seeds") for line in verdict_lines(study.folder)
    )
    assert "Noise floor" in build_report(study.folder).with_name("effects.md").read_text()


def test_a_placebo_that_helps_is_a_warning(tmp_path: Path) -> None:
    asked = space(baseline={"width": 99}, axes={"width": {"path": "width", "values": [99, 8]}})

    study = open_space(asked, results=tmp_path / "results").run(inline=True, quiet=True)

    contrast = placebo_contrast(study.frames)
    assert contrast is not None
    assert placebo_warning(contrast).startswith("The placebo helps, although")
    assert "The placebo helps" in " ".join(verdict_lines(study.folder))


def test_without_a_placebo_nothing_is_said_of_one(tmp_path: Path) -> None:
    study = open_space(space(placebo=False), results=tmp_path / "results").run(inline=True, quiet=True)

    assert placebo_contrast(study.frames) is None
    assert len(study.trials) == 12


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seeds": [1, 2_000_000]}, "expected seeds below 1,000,000 beside `placebo`"),
        ({"placebo": "often"}, "placebo"),
    ],
)
def test_a_placebo_that_cannot_be_is_one_message(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        open_space(space(**changes), results=tmp_path / "results")


# What seeds can decide


def test_the_difference_that_is_detectable_is_that_of_the_t_test() -> None:
    assert detectable(1.0, 10, 0.05) == pytest.approx(1.0, abs=0.01)  # 10 seeds for one standard deviation
    assert detectable(0.2, 34, 0.05) == pytest.approx(0.1, abs=0.002)


def test_a_plan_says_what_its_seeds_can_decide_from_the_spread_of_earlier_studies(tmp_path: Path) -> None:
    def lines(name: str, seeds: int, margin: float = 0.1) -> str:
        asked = space(seeds=seeds, primary={"metric": "score", "margin": margin})
        planned = open_space(asked, name=name, results=tmp_path / "results")
        found = foresight(as_launched(planned._planned), planned.folder)
        return "" if found is None else " ".join(found.lines())

    assert "a guess" in lines("first", 6)
    open_space(space(), name="first", results=tmp_path / "results").run(inline=True, quiet=True)

    assert "as in first" in lines("second", 12)
    assert "a guess" not in lines("second", 12)
    assert "this study so far" in lines("first", 12)
    assert "can decide: nothing" in lines("third", 3)
    assert "(within ±1e+06) takes 6 seeds" in lines("wide", 12, margin=1e6)


def test_looking_at_what_a_launch_would_record_records_nothing(tmp_path: Path) -> None:
    study = open_space(space(), results=tmp_path / "results").run(inline=True, quiet=True)
    before = (study.folder / "study.json").read_bytes()

    longer = open_space(space(seeds=12), results=tmp_path / "results")
    launched = as_launched(longer._planned)

    assert [len(plan.seeds) for plan in launched.plans] == [6, 12]
    assert (study.folder / "study.json").read_bytes() == before
    with contextlib.redirect_stdout(io.StringIO()):
        longer.run(inline=True, quiet=True)
    assert [len(plan.seeds) for plan in read_study(study.folder).plans] == [6, 12]
