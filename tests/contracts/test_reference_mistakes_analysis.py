"""Mistakes of the published analysis that must not be possible here (design: "the reference's mistakes")."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.contrasts import judge_study, sample_of, verdict_sentence
from analysis.figures import check, parse
from analysis.frames import StudyFrames, load_frames
from analysis.labels import curve_label, x_labels
from analysis.report import build_report, verdict_lines

TWO = {"pixel_channel": 0.6, "conv": 0.4}
SMALL = {"effects": TWO, "epochs": 1, "batches": 4, "num_images": 4, "num_seeds": 6}
OTHER = "encoder=conv"
Study = Callable[..., Path]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, synthetic: Study) -> Study:
    """Build a study with two cells and six seeds; keyword arguments are fields of the recipe."""
    return lambda **settings: synthetic(tmp_path_factory.mktemp("study"), **{**SMALL, **settings})


def with_harder_images(frames: StudyFrames) -> StudyFrames:
    """The same study, each image adding ten times its number to the metric: image sets differ in their means."""
    number = frames.evaluations["image_id"].str.removeprefix("face-").astype(float)
    shifted = frames.evaluations.assign(
        counterfactual_gain=frames.evaluations["counterfactual_gain"] + 10 * number
    )
    return replace(frames, evaluations=shifted)


def with_configs(frames: StudyFrames, change: Callable[[dict[str, Any], str], None]) -> StudyFrames:
    """The same study with each trial's configuration changed in place by its cell."""
    texts = []
    for cell, text in zip(frames.trials["cell"], frames.trials["config"], strict=True):
        config = json.loads(text)
        change(config, cell)
        texts.append(json.dumps(config))
    return replace(frames, trials=frames.trials.assign(config=texts))


def test_models_measured_on_different_images_are_compared_on_those_of_both(study: Study) -> None:
    frames = with_harder_images(load_frames(study(first_image={"conv": 1})))

    sample = sample_of(frames, "counterfactual_gain", OTHER, "baseline")

    gains = frames.trials.pivot_table(
        index="seed", columns="cell", values="metric_counterfactual_gain", observed=True
    )
    assert sample.differences == pytest.approx((gains[OTHER] - gains["baseline"]).to_numpy())
    assert len(sample.differences) == 6


def test_models_without_a_common_image_get_no_verdict(study: Study) -> None:
    frames = load_frames(study(first_image={"conv": 50}))

    (contrast,) = judge_study(frames).contrasts

    assert contrast.n == 0
    assert contrast.verdict == "undecided"
    assert "not comparable" in verdict_sentence(frames, contrast)
    assert "different images" in verdict_sentence(frames, contrast)


def test_a_distance_of_sets_is_never_compared_across_image_sets(study: Study) -> None:
    frames = load_frames(study(first_image={"conv": 1}))
    one = frames.evaluations[frames.evaluations["strength"] == 1.0].drop_duplicates("signature")
    fid = one.drop(columns=["counterfactual_gain", "l1_distance"]).assign(
        image_id=None, frechet_distance=80.0
    )
    frames = replace(frames, evaluations=pd.concat([frames.evaluations, fid], ignore_index=True))

    sample = sample_of(frames, "frechet_distance", OTHER, "baseline")

    assert len(sample.differences) == 0
    assert "different images" in sample.incomparable


def test_models_edited_with_another_t_boost_get_no_verdict(study: Study) -> None:
    folder = study(evaluation={"conv": {"t_boost": 193}, "pixel_channel": {"t_boost": 167}})

    lines = " ".join(line.strip() for line in verdict_lines(folder))

    assert (
        "conv: no verdict, not comparable: Counterfactual gain, training CLIP is measured against another reference"
        in lines
    )
    other = sample_of(load_frames(folder), "s_dir", OTHER, "baseline")
    assert other.incomparable == "t_boost differs as well (193 against 167)"


def test_t_boost_itself_can_be_the_question(study: Study) -> None:
    def only_t_boost(config: dict[str, Any], cell: str) -> None:
        config["editor"] = {"kind": "conv"}
        config["evaluation"]["t_boost"] = 193 if cell == OTHER else 0

    frames = with_configs(load_frames(study()), only_t_boost)

    assert sample_of(frames, "s_dir", OTHER, "baseline").incomparable == ""


def test_a_gain_over_another_reconstruction_gets_no_verdict(study: Study) -> None:
    """Its denominator is the distance that each cell's own reconstruction has to go."""

    def other_steps(config: dict[str, Any], cell: str) -> None:
        config["evaluation"]["num_sample_steps"] = 20 if cell == OTHER else 40

    frames = with_configs(load_frames(study()), other_steps)
    moved, same = (
        sample_of(frames, metric, OTHER, "baseline") for metric in ("counterfactual_gain", "s_dir")
    )

    assert len(moved.differences) == 0
    assert moved.incomparable == (
        "Counterfactual gain, training CLIP is measured against another reference, since num_sample_steps differs "
        "(20 against 40)"
    )
    assert same.incomparable == ""


def test_a_summed_loss_is_never_captioned_as_the_directional_one(study: Study) -> None:
    frames = load_frames(study())
    kind, config = parse({"kind": "curves", "by": "encoder", "y": ["loss_total"]})

    table = kind.compute(frames, config)
    assert kind.draw is not None
    (panel,) = kind.draw(table, config).axes

    for text in (kind.caption(table, config), panel.get_ylabel(), curve_label("loss_total")):
        assert "total training loss" in text.lower()
        assert "direction" not in text.lower()
    assert "direction" in curve_label("loss_direction").lower()


def test_curves_run_over_what_was_trained_never_over_logger_calls(study: Study) -> None:
    frames = load_frames(study())
    kind, config = parse({"kind": "curves", "by": "encoder", "smooth": 1})

    table = kind.compute(frames, config)

    own = table[(table["value"] == "conv") & (table["seed"] == 0)]
    recorded = frames.curves[(frames.curves["cell"] == OTHER) & (frames.curves["seed"] == 0)]
    assert list(own["x"]) == list(recorded["optimizer_step"])
    assert set(x_labels()) == {"optimizer_step", "image_steps", "epoch"}
    (problem,) = check([{"kind": "curves", "by": "encoder", "x": "logger_step"}], {"encoder": ["conv"]})
    assert problem[0] == (0, "x")


@pytest.mark.parametrize("num_seeds", [1, 2, 5])
def test_few_seeds_give_an_estimate_and_no_verdict(study: Study, num_seeds: int) -> None:
    (contrast,) = judge_study(load_frames(study(num_seeds=num_seeds, noise=1e-6))).contrasts

    assert contrast.n == num_seeds
    assert contrast.verdict == "undecided"
    assert contrast.is_estimate
    assert contrast.min_pairs == 6


def test_s_dir_is_printed_as_the_cosine_that_it_is(study: Study) -> None:
    frames = load_frames(study())
    kind, config = parse({"kind": "table", "metrics": ["s_dir"]})

    table = kind.compute(frames, config)
    assert kind.text is not None

    own = frames.trials[frames.trials["cell"] == OTHER]["metric_s_dir"]
    assert table[table["cell"] == OTHER]["mean"].iloc[0] == pytest.approx(own.mean())
    assert "↑" in kind.text(table, config).titles[1]


def test_doing_nothing_wins_no_distance_and_distances_are_matched_beside(study: Study) -> None:
    folder = study(figures=[{"kind": "table", "metrics": ["l1_distance", "counterfactual_gain"]}])
    frames = load_frames(folder)
    kind, config = parse(dict(frames.study.figures[0]))

    table = kind.compute(frames, config)
    page = build_report(folder)

    assert set(table[table["is_best"]]["metric"]) == {"counterfactual_gain"}
    assert "No distance is marked" in kind.caption(table, config)
    assert page.with_name("matched_s_dir.csv").exists()


def test_a_trial_that_was_stopped_early_enters_no_contrast_and_no_mean(study: Study) -> None:
    frames = load_frames(study(pruned={("conv", 2)}, num_seeds=7))

    (contrast,) = judge_study(frames).contrasts
    kind, config = parse({"kind": "table", "metrics": ["counterfactual_gain"]})
    table = kind.compute(frames, config)

    assert 2 not in contrast.sample.seeds
    assert (contrast.n, contrast.sample.stopped, contrast.num_failed) == (6, 1, 0)
    assert "1 stopped early" in verdict_sentence(frames, contrast)
    own = table[table["cell"] == OTHER].iloc[0]
    assert (own["n"], own["num_planned"], own["num_stopped"]) == (6, 7, 1)


def test_a_trial_shorter_than_it_was_asked_to_be_counts_as_stopped(study: Study) -> None:
    frames = load_frames(study(training={"conv": {"epochs": 3}}))

    (contrast,) = judge_study(frames).contrasts

    assert contrast.sample.stopped == 6
    assert contrast.n == 0
    assert np.isnan(contrast.mean)
