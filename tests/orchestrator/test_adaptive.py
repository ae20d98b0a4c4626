"""Seeds are added only where the judge still wants them."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.contrasts import judge_study, next_seeds
from analysis.frames import load_frames
from orchestrator.ledger import Ledger, read_study
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, longest_plan, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_until_decided

SPACE = """
question: Does the learning rate matter?
baseline:
  domain: avatars
  attribute: smiling
  editor: {kind: conv}
  training: {epochs: 1, optimizer: {learning_rate: 0.001}}
axes:
  rate: {path: training.optimizer.learning_rate, values: [0.001, 0.01, 0.1]}
seeds: {start: 6, max: 12, until: decided, looks: 3}
primary: {metric: counterfactual_gain, margin: 0.05}
"""
Open = Callable[[], Study]
Launch = Callable[..., Outcome]


@pytest.fixture
def open_space(tmp_path: Path) -> Open:
    path = tmp_path / "adaptive.yaml"
    path.write_text(SPACE)
    return lambda: open_study(load_space(path), tmp_path / "results")


@pytest.fixture
def launch(display: Any) -> Launch:
    def run(study: Study, judge: Any, trial: str = "NoisyTrial") -> Outcome:
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        return run_until_decided(study, options, display, judge, display.note)

    return run


def seeds_of(study: Study) -> Counter[str]:
    return Counter(record["cell"] for record in Ledger(study.ledger_folder).records())


def judged(folder: Path) -> Mapping[str, int]:
    return next_seeds(load_frames(folder))


def test_decided_cells_get_no_more_seeds_and_the_baseline_gets_all(open_space: Open, launch: Launch) -> None:
    study = open_space()

    outcome = launch(study, judged)

    # By NoisyTrial, 0.01 is far better and 0.1 differs by nothing but wide noise.
    assert seeds_of(study) == {"baseline": 12, "rate=0.01": 6, "rate=0.1": 12}
    assert outcome.num_run == 30
    contrasts = {contrast.name: contrast for contrast in judge_study(load_frames(study.folder)).contrasts}
    assert (contrasts["rate=0.01"].verdict, contrasts["rate=0.01"].n) == ("helps", 6)
    assert (contrasts["rate=0.1"].verdict, contrasts["rate=0.1"].n) == ("undecided", 12)
    assert read_study(study.folder).adaptive == {"max": 12, "schedule": [6, 9, 12]}


def test_a_finished_study_asks_for_nothing_more(open_space: Open, launch: Launch) -> None:
    launch(open_space(), judged)
    asked: list[Mapping[str, int]] = []

    def judge(folder: Path) -> Mapping[str, int]:
        asked.append(judged(folder))
        return asked[-1]

    again = open_space()
    outcome = launch(again, judge)

    assert outcome.num_run == 0
    assert len(again.plan.trials) == 30
    assert asked == [{"baseline": 12, "rate=0.01": 6, "rate=0.1": 12}]


def test_failed_trials_are_not_tried_again_at_every_look(open_space: Open, launch: Launch) -> None:
    study = open_space()

    outcome = launch(study, lambda folder: {"baseline": 9, "rate=0.1": 9}, trial="FailingTrial")

    failed = Counter((record["cell"], record["seed"]) for record in outcome.failed)
    assert set(failed.values()) == {1}


def test_the_plan_knows_the_most_it_can_come_to(open_space: Open) -> None:
    study = open_space()

    assert len(study.plan.trials) == 18
    assert len(longest_plan(study).trials) == 36
