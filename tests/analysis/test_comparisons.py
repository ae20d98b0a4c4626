"""Figures that compare: known answers from ledgers whose metrics are known functions of strength and gain."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.contrasts import judge_study
from analysis.figures import parse
from analysis.figures._groups import weighted_mean_interval
from analysis.figures.importance import variance_share
from analysis.figures.pareto import on_front
from analysis.frames import StudyFrames, load_frames
from analysis.measurements import measured, values_over

TWO = {"pixel_channel": 0.6, "conv": 0.4}
CLAIMS = [
    {
        "text": "pixel_channel edits more",
        "axis": "encoder",
        "better": "pixel_channel",
        "worse": "conv",
        "source": "table 5",
        "published": {"better": 83.7, "worse": 125.8, "metric": "FID"},
    },
    {
        "text": "at half strength too",
        "better": {"encoder": "pixel_channel"},
        "worse": {"encoder": "conv"},
        "strength": 0.5,
    },
    {"text": "not measured", "axis": "encoder", "better": "pixel_channel", "worse": "conv", "strength": 0.7},
    {"text": "no such cell", "axis": "encoder", "better": "pixel", "worse": "conv"},
]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> StudyFrames:
    recipe = request.getfixturevalue("synthetic")
    folder = recipe(
        tmp_path_factory.mktemp("study"),
        effects=TWO,
        num_seeds=6,
        epochs=1,
        batches=4,
        num_images=4,
        claims=CLAIMS,
    )
    return load_frames(folder)


def computed(frames: StudyFrames, **options: Any) -> pd.DataFrame:
    kind, config = parse(options)
    return kind.compute(frames, config)


def gains(frames: StudyFrames, cell: str) -> np.ndarray:
    return frames.trials[frames.trials["cell"] == cell]["metric_counterfactual_gain"].to_numpy()


def test_summaries_are_the_means_at_the_primary_strength(frames: StudyFrames) -> None:
    table = values_over(frames, "counterfactual_gain", ["cell"])

    own = table[table["at_cell"] == "encoder=conv"]
    assert own["value"].to_numpy() == pytest.approx(gains(frames, "encoder=conv"))
    everywhere = measured(frames, "counterfactual_gain")
    assert len(everywhere) == 2 * 6 * 3
    assert set(everywhere["num_images"]) == {4}


def test_matched_distances_are_equal_where_distance_is_the_same_function_of_the_edit(
    frames: StudyFrames,
) -> None:
    table = computed(frames, kind="matched", metrics=["l1_distance"], at="counterfactual_gain")

    means = table[(table["part"] == "matched") & table["seed"].isna()].set_index("label")
    target = min(gains(frames, cell).min() for cell in frames.cells)
    assert means["target"].iloc[0] == pytest.approx(target)
    assert means["mean"].to_numpy() == pytest.approx(0.2 * target)
    assert means.loc["conv", "difference"] == pytest.approx(0.0, abs=1e-12)
    assert (means.loc["conv", "num_pairs"], means.loc["conv", "not_reached"]) == (6, 0)
    assert means["interpolation_error"].to_numpy() == pytest.approx(0.0, abs=1e-9)


def test_at_equal_strength_the_stronger_editor_has_the_larger_distance(frames: StudyFrames) -> None:
    table = computed(frames, kind="matched", metrics=["l1_distance"], at="strength", target=0.75)

    means = table[(table["part"] == "matched") & table["seed"].isna()].set_index("label")
    expected = 0.15 * (gains(frames, "encoder=conv") - gains(frames, "baseline"))
    assert means.loc["conv", "difference"] == pytest.approx(expected.mean())


def test_trials_that_never_reach_the_target_are_counted(frames: StudyFrames) -> None:
    options = {"kind": "matched", "metrics": ["l1_distance"], "at": "counterfactual_gain", "target": 0.5}
    kind, config = parse(options)

    table = kind.compute(frames, config)

    lost = int((gains(frames, "encoder=conv") < 0.5).sum())
    means = table[(table["part"] == "matched") & table["seed"].isna()].set_index("label")
    assert lost > 0
    assert means.loc["conv", "not_reached"] == lost
    assert f"left out: {lost}" in kind.caption(table, config)


def test_subgroups_hold_each_image_once_whatever_the_number_of_seeds(frames: StudyFrames) -> None:
    table = computed(frames, kind="subgroups", metrics=["counterfactual_gain"], label="skin", by="encoder")

    own = table[table["label"] == "conv"].set_index("group")
    assert own["n"].to_dict() == {"light": 3, "dark": 1}
    assert own["mean"].to_numpy() == pytest.approx(gains(frames, "encoder=conv").mean())
    assert np.isnan(own.loc["dark", "low"])
    assert set(own["num_seeds"]) == {6}


def test_metrics_of_sets_by_subgroup_are_means_over_seeds_with_their_own_interval(
    tmp_path: Path, synthetic: Callable[..., Path]
) -> None:
    folder = synthetic(tmp_path / "study", effects=TWO, num_seeds=3, epochs=1, batches=1, subgroups=True)
    frames = load_frames(folder)
    kind, config = parse(
        {
            "kind": "subgroups",
            "metrics": ["counterfactual_gain", "kernel_distance"],
            "label": "skin",
            "by": "encoder",
        }
    )

    table = kind.compute(frames, config)

    of_sets = table[(table["metric"] == "kernel_distance") & (table["label"] == "conv")].set_index("group")
    assert of_sets["n"].to_dict() == {"dark": 1, "light": 2}
    values = 1 - gains(frames, "encoder=conv")
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert tuple(of_sets.loc["light", ["mean", "low", "high"]]) == pytest.approx((values.mean(), low, high))
    assert of_sets.loc["dark", "mean"] == pytest.approx(2 * values.mean())
    caption = kind.caption(table, config)
    assert (
        "Kernel distance: measured within each group (features: CLIP of tests), means of 3 seeds" in caption
    )
    assert "not measured" not in caption


def test_rows_of_subgroups_never_count_as_the_whole_set(
    tmp_path: Path, synthetic: Callable[..., Path]
) -> None:
    folder = synthetic(tmp_path / "study", effects=TWO, num_seeds=2, epochs=1, batches=1, subgroups=True)

    whole = measured(load_frames(folder), "kernel_distance")

    at_one = whole[whole["strength"] == 1.0]
    assert at_one.groupby("signature").size().eq(1).all()
    assert (at_one["value"] == 5.0).all()


def test_a_study_without_subgroups_says_how_to_measure_them(frames: StudyFrames) -> None:
    kind, config = parse(
        {"kind": "subgroups", "metrics": ["counterfactual_gain", "kernel_distance"], "label": "skin"}
    )

    table = kind.compute(frames, config)

    assert set(table["metric"]) == {"counterfactual_gain"}
    assert kind.caption(table, config).endswith("evaluation: {subgroups: [skin]}.")


def test_subgroup_intervals_are_t_intervals_where_weights_are_equal() -> None:
    values = np.array([0.1, 0.4, 0.35, 0.8])

    mean, half = weighted_mean_interval(values, np.full(4, 2.0))

    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_an_image_without_weight_moves_neither_mean_nor_interval_of_the_weighted_ones() -> None:
    mean, _ = weighted_mean_interval(np.array([1.0, 3.0, 100.0]), np.array([1.0, 1.0, 0.0]))

    assert mean == 2.0


def test_groups_can_come_from_a_file_of_image_ids(frames: StudyFrames) -> None:
    (frames.folder / "groups.csv").write_text("image_id,group\nface-0,first\nface-1,rest\nface-2,rest\n")

    table = computed(frames, kind="subgroups", metrics=["l1_distance"], file="groups.csv", by="encoder")

    assert table.groupby("group")["n"].max().to_dict() == {"first": 1, "rest": 2}


def test_a_file_without_the_columns_of_groups_is_told(frames: StudyFrames) -> None:
    (frames.folder / "wrong.csv").write_text("image,group\nface-0,first\n")

    with pytest.raises(ValueError, match="expected columns group and image_id"):
        computed(frames, kind="subgroups", metrics=["l1_distance"], file="wrong.csv")
    with pytest.raises(FileNotFoundError, match="no file absent"):
        computed(frames, kind="subgroups", metrics=["l1_distance"], file="absent.csv")


def test_leakage_is_the_mean_shift_of_every_attribute(frames: StudyFrames) -> None:
    kind, config = parse({"kind": "leakage", "by": "encoder"})

    table = kind.compute(frames, config)

    own = table[table["label"] == "conv"].set_index("moved")
    assert own.loc["smiling", "mean"] == pytest.approx(0.1 * gains(frames, "encoder=conv").mean())
    assert own.loc["sad", "mean"] == pytest.approx(-0.04)
    assert own["is_own"].to_dict() == {"sad": False, "smiling": True}
    assert kind.text is not None
    assert kind.text(table, config).rows[0][2].startswith("+0.0")


def test_interaction_is_the_difference_of_differences_paired_by_seed(frames: StudyFrames) -> None:
    table = computed(frames, kind="interaction", x="encoder", by="strength")

    row = table[(table["x_label"] == "conv") & (table["value"] == 1.0)].iloc[0]
    expected = gains(frames, "encoder=conv") - gains(frames, "baseline")
    low, high = stats.ttest_1samp(expected, 0).confidence_interval(0.95)
    assert row["interaction"] == pytest.approx(expected.mean())
    assert (row["interaction_low"], row["interaction_high"]) == pytest.approx((low, high))
    assert table[table["value"] == 0.0]["interaction"].isna().all()


def test_line_follows_a_metric_along_strength(frames: StudyFrames) -> None:
    table = computed(frames, kind="line", x="strength", by="encoder", metrics=["l1_distance"])

    means = table[table["seed"].isna() & (table["label"] == "conv")]
    assert list(means["x"]) == [0.0, 0.5, 1.0]
    assert means["mean"].to_numpy() == pytest.approx(
        0.2 * gains(frames, "encoder=conv").mean() * means["x"].to_numpy()
    )
    assert set(means["n"]) == {6}


def test_table_runs_over_strengths_and_axis_values(frames: StudyFrames) -> None:
    options = {
        "kind": "table",
        "rows": "strength",
        "columns": "encoder",
        "metrics": ["l1_distance"],
        "spread": "images",
    }
    kind, config = parse(options)

    table = kind.compute(frames, config)
    assert kind.text is not None
    printed = kind.text(table, config)

    assert printed.titles == ["strength", "pixel_channel", "conv", "n"]
    assert [row[0] for row in printed.rows] == ["strength 0", "strength 0.5", "strength 1"]
    half = table[(table["row_label"] == "strength 0.5") & (table["column_label"] == "conv")]
    assert half["mean"].iloc[0] == pytest.approx(0.1 * gains(frames, "encoder=conv").mean())


def test_scorecard_shows_published_numbers_beside_ours(frames: StudyFrames) -> None:
    table = computed(frames, kind="scorecard").set_index("claim")

    first = table.loc["pixel_channel edits more"]
    assert (first["published_better"], first["published_worse"]) == (83.7, 125.8)
    assert first["better"] == pytest.approx(gains(frames, "baseline").mean())
    assert first["verdict"] == "supported"
    assert first["same_direction"]
    assert table.loc["no such cell", "verdict"] == "undecided"
    assert table.loc["no such cell", "n"] == 0


def test_a_claim_about_a_strength_is_judged_at_that_strength(frames: StudyFrames) -> None:
    table = computed(frames, kind="scorecard").set_index("claim")

    half, full = table.loc["at half strength too"], table.loc["pixel_channel edits more"]
    assert half["difference"] == pytest.approx(full["difference"] / 2)
    assert half["better"] == pytest.approx(full["better"] / 2)
    assert half["n"] == 6


def test_a_claim_about_a_strength_that_was_not_measured_says_so(frames: StudyFrames) -> None:
    claims = {claim.text: claim for claim in judge_study(frames).claims}

    contrast = claims["not measured"].contrast
    assert contrast is not None
    assert (
        contrast.sample.incomparable == "Counterfactual gain, training CLIP was not measured at strength 0.7"
    )
    assert claims["not measured"].verdict == "undecided"


def test_importance_finds_the_axis_that_moves_the_metric(frames: StudyFrames) -> None:
    table = computed(frames, kind="importance").set_index("factor")

    assert table.loc["encoder", "share"] > 0.5
    assert table["share"].sum() <= 1 + 1e-9


def test_importance_is_the_measure_that_a_search_printed_where_there_was_one(
    frames: StudyFrames, tmp_path: Path
) -> None:
    shares = {"counterfactual_gain": {"encoder": 0.3, "rate": 0.7}}
    (tmp_path / "tuning.json").write_text(json.dumps({"importance": shares}))
    searched = replace(frames, folder=tmp_path)
    kind, config = parse({"kind": "importance"})

    table = kind.compute(searched, config)
    plain = kind.compute(searched, config.model_copy(update={"measure": "anova"}))

    assert dict(zip(table["factor"], table["share"], strict=True)) == {"rate": 0.7, "encoder": 0.3}
    assert kind.caption(table, config).startswith("PED-ANOVA (Optuna's, as asyrp-sweep tune prints it)")
    assert kind.caption(plain, config).startswith("Analysis of variance (epsilon squared): share")
    assert set(plain["measure"]) == set(kind.compute(frames, config)["measure"]) == {"anova"}


def test_a_trade_off_shows_the_searchs_own_pareto_set(frames: StudyFrames, tmp_path: Path) -> None:
    objectives = [
        {"name": "counterfactual_gain", "higher_is_better": True},
        {"name": "num_parameters", "higher_is_better": False},
    ]
    trials = [
        {
            "signature": name,
            "cell": name,
            "axis_values": {"rate": rate},
            "values": values,
            "is_pareto": is_pareto,
        }
        for name, rate, values, is_pareto in [
            ("small", 0.1, [0.2, 10], True),
            ("beaten", 0.2, [0.1, 20], False),
            ("good", 0.3, [0.4, 30], True),
        ]
    ]
    content = {"objectives": objectives, "trials": trials, "default": {"signature": "beaten"}}
    (tmp_path / "tuning.json").write_text(json.dumps(content))
    kind, config = parse({"kind": "trade_off"})

    table = kind.compute(replace(frames, folder=tmp_path), config)

    assert table[["x", "y"]].to_numpy().tolist() == [[30, 0.4], [10, 0.2], [20, 0.1]]
    assert table["is_front"].tolist() == [True, True, False]
    assert table["is_default"].tolist() == [False, False, True]
    assert kind.text is not None
    assert kind.text(table, config).rows == [
        ["1", "rate 0.3", "good", "0.400", "30.0"],
        ["2", "rate 0.1", "small", "0.200", "10.0"],
    ]
    assert "2 trials that no other one beats" in kind.caption(table, config)
    assert kind.draw is not None
    assert len(kind.draw(table, config).axes) == 1


def test_variance_share_is_one_for_a_pure_effect_and_zero_for_none() -> None:
    levels = np.array(["a", "a", "b", "b"])

    assert variance_share(np.array([1.0, 1.0, 2.0, 2.0]), levels) == pytest.approx(1.0)
    assert variance_share(np.array([1.0, 2.0, 1.0, 2.0]), levels) == 0.0
    assert variance_share(np.array([1.0, 2.0, 3.0, 4.0]), np.array(["a", "b", "c", "d"])) == 0.0


def test_pareto_front_holds_what_nothing_else_beats() -> None:
    cost, quality = pd.Series([1.0, 2.0, 2.0, 3.0]), pd.Series([0.1, 0.5, 0.4, 0.5])

    assert on_front(cost, quality) == [True, True, False, False]


def test_parallel_coordinates_order_words_as_the_space_does(frames: StudyFrames) -> None:
    table = computed(frames, kind="parallel", metrics=["l1_distance", "counterfactual_gain"])

    first = table[table["coordinate"] == "encoder"].set_index("value")["position"]
    assert first.to_dict() == {"pixel_channel": 0.0, "conv": 1.0}
    assert list(table[table["is_best"]]["label"].unique()) == ["pixel_channel"]


def test_curves_of_warm_starts_can_begin_where_their_parents_ended(make_study: Callable[..., Path]) -> None:
    folder = make_study(
        effects=TWO, num_seeds=1, epochs=1, batches=4, parents={("conv", 0): ("pixel_channel", 0)}
    )
    frames = load_frames(folder)

    plain, moved = (
        computed(frames, kind="curves", by="encoder", x="image_steps", smooth=1, count_parents=count)
        for count in (False, True)
    )

    shift = moved["x"].astype(float) - plain["x"].astype(float)
    assert set(shift[moved["value"] == "pixel_channel"]) == {0.0}
    assert set(shift[moved["value"] == "conv"]) == {256.0}


def test_a_set_metric_is_a_row_without_an_image(frames: StudyFrames) -> None:
    evaluations = frames.evaluations
    one = evaluations[evaluations["strength"] == 1.0].drop_duplicates("signature")
    rows = one.assign(image_id=None, frechet_distance=80.0, num_images=4, labels=None)
    columns = [column for column in rows if column not in ("counterfactual_gain", "l1_distance")]
    both = pd.concat([evaluations, rows[columns]], ignore_index=True)
    frames = StudyFrames(frames.study, frames.trials, frames.curves, both, frames.samples)

    table = values_over(frames, "frechet_distance", ["cell"])

    assert set(table["value"]) == {80.0}
    assert set(table["num_images"]) == {4}
    assert json.loads(evaluations["labels"].iloc[0])["skin"] == "light"
