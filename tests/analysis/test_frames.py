import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.accounting import answer_costs
from analysis.contrasts import judge_study, paired_sample, verdict_sentence
from analysis.frames import load_frames, primary_values, summary_metrics
from analysis.report import verdict_lines
from analysis.stats import PairedSample, judge
from orchestrator.ledger import read_study

TWO = {"pixel_channel": 0.6, "conv": 0.4}
Study = Callable[..., Path]


def test_every_planned_trial_is_a_row_with_its_status(make_study: Study) -> None:
    folder = make_study(effects=TWO, num_seeds=3, failed={("conv", 1)}, missing={("conv", 2)})

    trials = load_frames(folder).trials

    states = trials.set_index(["cell", "seed"])["status"].to_dict()
    assert len(trials) == 6
    assert states[("encoder=conv", 0)] == "done"
    assert states[("encoder=conv", 1)] == "failed"
    assert states[("encoder=conv", 2)] == "missing"
    assert "NaN" in trials[trials["status"] == "failed"]["reason"].iloc[0]


def test_axis_values_and_order_come_from_the_plan_not_from_the_records(
    make_study: Study, edit_study_file: Callable[[Path, dict[str, Any]], None]
) -> None:
    folder = make_study(effects=TWO, num_seeds=1)
    own = {
        value: next(iter(cell.trials)).signature
        for value, cell in zip(TWO, read_study(folder).cells, strict=True)
    }
    cells = [
        {
            "cell": name,
            "axis_values": {"encoder": value, "heads": 1},
            "is_baseline": name == "a",
            "merged": [],
            "trials": [{"seed": 0, "signature": own[value]}],
        }
        for name, value in (("b", "conv"), ("a", "pixel_channel"))
    ]
    edit_study_file(folder, {"axes": {"encoder": ["conv", "pixel_channel"], "heads": [1, 2]}, "cells": cells})

    frames = load_frames(folder)

    assert list(frames.trials["cell"]) == ["b", "a"]
    assert list(frames.trials["axis_heads"]) == [1, 1]
    assert set(frames.trials["status"]) == {"done"}
    assert list(frames.curves["cell"].unique()) == ["b", "a"]
    assert frames.axis_values("encoder") == ["conv", "pixel_channel"]


def test_records_outside_the_plan_are_counted(
    make_study: Study, edit_study_file: Callable[[Path, dict[str, Any]], None]
) -> None:
    folder = make_study(effects=TWO, num_seeds=2)
    frames = load_frames(folder)
    first = frames.study.cells[0]
    only = {"cell": first.cell, "axis_values": dict(first.axis_values), "is_baseline": True, "merged": []}
    trials = [{"seed": trial.seed, "signature": trial.signature} for trial in first.trials]
    edit_study_file(folder, {"cells": [only | {"trials": trials}]})

    assert load_frames(folder).num_unplanned == 2


def test_empty_ledger_gives_missing_trials_and_empty_frames(make_study: Study) -> None:
    frames = load_frames(make_study(is_empty=True, num_seeds=2))

    assert set(frames.trials["status"]) == {"missing"}
    assert frames.curves.empty
    assert frames.samples.empty
    assert summary_metrics(frames.trials) == []


def test_last_epochs_losses_are_summary_metrics(make_study: Study) -> None:
    frames = load_frames(make_study(effects=TWO, num_seeds=1, epochs=2, batches=3))

    last = frames.curves[(frames.curves["epoch"] == 2) & (frames.curves["cell"] == "baseline")]
    loss = primary_values(frames.trials, "loss_direction")
    assert loss.iloc[0] == pytest.approx(last["loss_direction"].mean())
    assert list(frames.trials["optimizer_steps"]) == [48, 48]


def test_coinciding_points_share_a_cell(
    make_study: Study, edit_study_file: Callable[[Path, dict[str, Any]], None]
) -> None:
    folder = make_study(is_empty=True, effects=TWO)
    point = {"encoder": "conv", "heads": 1}
    cells = [
        {
            "cell": "baseline",
            "axis_values": {"encoder": "pixel", "heads": 1},
            "is_baseline": True,
            "merged": [],
            "trials": [],
        },
        {
            "cell": "conv",
            "axis_values": point,
            "is_baseline": False,
            "merged": [point | {"heads": 2}],
            "trials": [],
        },
    ]
    edit_study_file(folder, {"axes": {"encoder": ["pixel", "conv"], "heads": [1, 2]}, "cells": cells})
    frames = load_frames(folder)

    assert frames.cells_along(["encoder", "heads"]) == {
        ("pixel", 1): "baseline",
        ("conv", 1): "conv",
        ("conv", 2): "conv",
    }
    assert frames.cells_along(["heads"], {"encoder": "conv"}) == {(1,): "conv", (2,): "conv"}
    assert frames.cell_label("conv") == "encoder = conv"


def test_pairs_lost_to_failures_and_gaps_are_counted(make_study: Study) -> None:
    folder = make_study(
        effects=TWO,
        num_seeds=6,
        failed={("conv", 1), ("pixel_channel", 2), ("conv", 3), ("pixel_channel", 3)},
        missing={("conv", 5)},
    )
    trials = load_frames(folder).trials

    paired = paired_sample(trials, "counterfactual_gain", "encoder=conv", "baseline")

    assert paired.seeds == (0, 4)
    assert (paired.failed_worse, paired.failed_better, paired.failed_both, paired.missing) == (1, 1, 1, 1)


def test_lower_is_better_metrics_are_turned_around(make_study: Study) -> None:
    trials = load_frames(make_study(effects=TWO, num_seeds=2)).trials

    paired = paired_sample(trials, "loss_direction", "encoder=conv", "baseline")

    assert (paired.differences < 0).all()  # conv has the higher loss, so it is worse.


def test_a_finished_trial_without_a_number_counts_as_failed(make_study: Study) -> None:
    trials = load_frames(make_study(effects=TWO, num_seeds=2)).trials
    trials.loc[(trials["cell"] == "encoder=conv") & (trials["seed"] == 0), "metric_s_dir"] = float("nan")

    paired = paired_sample(trials, "s_dir", "encoder=conv", "baseline")

    assert paired.failed_worse == 1
    assert paired.seeds == (1,)


def test_claims_are_judged_both_ways(make_study: Study) -> None:
    claim = {"text": "pixel_channel wins", "axis": "encoder", "better": "pixel_channel", "worse": "conv"}
    turned = {"text": "conv wins", "axis": "encoder", "better": "conv", "worse": "pixel_channel"}
    absent = {"text": "void", "axis": "encoder", "better": "conv", "worse": "nothing"}
    folder = make_study(effects=TWO, num_seeds=7, claims=[claim, turned, absent])

    judgement = judge_study(load_frames(folder))

    assert [result.verdict for result in judgement.claims] == ["supported", "contradicted", "undecided"]
    assert judgement.num_comparisons == 1
    assert judgement.claims[0].contrast is not None
    assert judgement.claims[0].contrast.mean > 0


def test_claims_about_other_pairs_share_alpha_too(make_study: Study) -> None:
    claim = {"text": "pixel beats conv", "axis": "encoder", "better": "pixel", "worse": "conv"}

    judgement = judge_study(load_frames(make_study(num_seeds=2, claims=[claim])))

    assert judgement.num_comparisons == 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num_seeds": 7}, r"^conv hurts, by at least the margin: −0\.\d+ \[.*\], 7 pairs, p < 0\.001\.$"),
        (
            {"num_seeds": 3},
            r"estimate only.*3 pairs\. No test can decide below 6 pairs; about \d+( to \d+)? seeds",
        ),
        ({"num_seeds": 1}, r"estimate only.*1 pair\. No test can decide below 6 pairs\.$"),
        ({"num_seeds": 2, "is_empty": True}, r"^conv: no verdict, 0 pairs, 2 not run\.$"),
        ({"num_seeds": 7, "effects": {"a": 0.5, "conv": 0.5}, "noise": 0.005}, r"equivalent within ±0\.05"),
    ],
)
def test_sentences_say_verdict_numbers_and_what_is_missing(
    make_study: Study, settings: dict[str, Any], expected: str
) -> None:
    frames = load_frames(make_study(**({"effects": TWO} | settings)))

    (contrast,) = judge_study(frames).contrasts

    assert re.search(expected, verdict_sentence(frames, contrast))


def test_a_change_that_changes_nothing_at_all_is_called_to_mind(make_study: Study) -> None:
    frames = load_frames(make_study(effects=TWO, num_seeds=6))
    (cell,) = judge_study(frames).contrasts
    none, little = np.zeros(6), np.array([0, 0, 0, 0, 0, 1e-6])

    same, other, single = (
        judge([PairedSample(cell.name, found, tuple(range(len(found))))], margin=0.05, alpha=0.05)[0]
        for found in (none, little, none[:1])
    )

    assert same.verdict == other.verdict == "equivalent"
    assert verdict_sentence(frames, same).endswith(
        "0 [0, 0], 6 pairs. All 6 pairs have exactly the same values: check that the change takes effect."
    )
    assert "exactly the same" not in verdict_sentence(frames, other) + verdict_sentence(frames, single)


def test_equivalence_with_an_interval_beyond_the_margin_names_the_tests_that_show_it(
    make_study: Study,
) -> None:
    frames = load_frames(make_study(effects=TWO, num_seeds=6))
    (cell,) = judge_study(frames).contrasts
    apart = np.array([0.05, -0.05, 0.05, -0.05, 0.05, -0.05])
    wide, narrow = (
        judge([PairedSample(cell.name, differences, tuple(range(6)))], margin=0.05, alpha=0.05)[0]
        for differences in (apart, apart / 2)
    )

    assert wide.verdict == narrow.verdict == "equivalent"
    assert wide.interval.high > 0.05
    assert verdict_sentence(frames, wide).endswith("6 pairs. Two one-sided tests show it, p = 0.038.")
    assert verdict_sentence(frames, narrow).endswith("6 pairs.")


def test_cells_are_compared_along_one_axis_with_all_others_equal(
    make_study: Study, edit_study_file: Callable[[Path, dict[str, Any]], None]
) -> None:
    # The better model gains 0.2 on one attribute and loses 0.2 on the other, which is the harder one for both.
    effects = {"conv": 0.6, "pixel_channel": 0.8, "pixel": 0.3, "channel": 0.1}
    points = [("old", "smiling"), ("new", "smiling"), ("old", "sad"), ("new", "sad")]
    folder = make_study(effects=effects, num_seeds=6)
    own = [[trial.__dict__ for trial in cell.trials] for cell in read_study(folder).cells]
    cells = [
        {
            "cell": f"{model} {attribute}",
            "axis_values": {"model": model, "attribute": attribute},
            "is_baseline": (model, attribute) == points[0],
            "merged": [],
            "trials": trials,
        }
        for (model, attribute), trials in zip(points, own, strict=True)
    ]
    axes = {"model": ["old", "new"], "attribute": ["smiling", "sad"]}
    edit_study_file(folder, {"axes": axes, "cells": cells, "compare": "model"})

    frames = load_frames(folder)
    judgement = judge_study(frames)

    assert [contrast.name for contrast in judgement.contrasts] == ["new smiling", "new sad"]
    assert [contrast.verdict for contrast in judgement.contrasts] == ["helps", "hurts"]
    assert [contrast.mean for contrast in judgement.contrasts] == pytest.approx([0.2, -0.2], abs=0.03)
    assert "against old, all else equal" in verdict_lines(folder)[0]
    assert [frames.cell_label(contrast.name) for contrast in judgement.contrasts] == [
        "new, smiling",
        "new, sad",
    ]
    costs = answer_costs(frames, judgement)
    assert [row[1] for row in costs] == [
        "baseline",
        "reference",
        "helps, by at least the margin",
        "hurts, by at least the margin",
        "",
    ]
