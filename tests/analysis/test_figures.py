import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.curve_lines import at_shared_places
from analysis.figures import FIGURES, check, parse
from analysis.figures._text import write_table
from analysis.figures._tiles import decode
from analysis.frames import StudyFrames, load_frames
from analysis.style import save_figure

AXES = {"encoder": ["pixel_channel", "conv"], "heads": [1, 2]}
OPTIONS: dict[str, dict[str, Any]] = {
    "curves": {"by": "encoder", "y": ["loss_direction", "loss_total"]},
    "image_grid": {"rows": "epoch", "columns": "encoder", "images": 2},
    "effects": {},
    "table": {},
    "line": {"x": "strength", "by": "encoder", "metrics": ["counterfactual_gain", "l1_distance"]},
    "matched": {"metrics": ["l1_distance"], "at": "counterfactual_gain"},
    "subgroups": {"metrics": ["counterfactual_gain"], "label": "skin"},
    "leakage": {"by": "encoder"},
    "interaction": {"x": "encoder", "by": "strength"},
    "pareto": {},
    "parallel": {},
    "importance": {},
    "scorecard": {},
    "slice": {},
    "trade_off": {},
}
"""What each kind needs; a new kind fails here until it says so."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> StudyFrames:
    recipe = request.getfixturevalue("synthetic")
    folder = recipe(
        tmp_path_factory.mktemp("study"),
        effects={"pixel_channel": 0.6, "conv": 0.4, "pixel": 0.55},
        num_seeds=2,
        epochs=2,
        batches=5,
        failed={("pixel", 0)},
    )
    return load_frames(folder)


def computed(frames: StudyFrames, options: dict[str, Any]) -> pd.DataFrame:
    kind, config = parse(options)
    return kind.compute(frames, config)


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("num_rows", [0, 3, None])
def test_every_kind_draws_from_an_empty_a_three_row_and_a_full_table(
    kind: str, num_rows: int | None, frames: StudyFrames, tmp_path: Path
) -> None:
    figure_kind, config = parse({"kind": kind, **OPTIONS[kind]})
    table = figure_kind.compute(frames, config)
    table = table if num_rows is None else table.head(num_rows)

    assert figure_kind.caption(table, config).endswith(".")
    assert figure_kind.draw is not None or figure_kind.text is not None
    if figure_kind.draw is not None:
        figure = figure_kind.draw(table, config)
        assert figure.axes or figure.texts
        if num_rows is None:  # Saving takes most of the time, and is the same for all.
            save_figure(figure, tmp_path / kind)
    if figure_kind.text is not None:
        text = figure_kind.text(table, config)
        assert all(text.titles)
        write_table(text, "A caption.", tmp_path / kind)

    assert all(path.stat().st_size > 0 for path in tmp_path.iterdir())


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_computes_nothing_from_an_empty_ledger(kind: str, make_study: Callable[..., Path]) -> None:
    empty = load_frames(make_study(is_empty=True, num_seeds=1))
    figure_kind, config = parse({"kind": kind, **OPTIONS[kind]})

    table = figure_kind.compute(empty, config)

    assert figure_kind.caption(table, config)
    assert figure_kind.draw is None or figure_kind.draw(table, config) is not None


def test_saved_figures_are_the_same_twice(frames: StudyFrames, tmp_path: Path) -> None:
    kind, config = parse({"kind": "effects"})
    table = kind.compute(frames, config)
    assert kind.draw is not None

    first = [path.read_bytes() for path in save_figure(kind.draw(table, config), tmp_path / "a")]
    second = [path.read_bytes() for path in save_figure(kind.draw(table, config), tmp_path / "b")]

    assert first == second


def test_curves_mean_and_band_are_the_t_interval_over_seeds(frames: StudyFrames) -> None:
    table = computed(frames, {"kind": "curves", "by": "encoder", "smooth": 1})

    own = table[table["value"] == "conv"]
    last = own[own["x"] == own["x"].max()]
    seeds = last[last["seed"].notna()]["loss"].astype(float)
    (mean,) = last[last["seed"].isna()].to_dict("records")
    expected = stats.ttest_1samp(seeds, 0).confidence_interval(0.95)
    assert mean["loss"] == pytest.approx(seeds.mean())
    assert (mean["low"], mean["high"]) == pytest.approx(tuple(expected))
    assert mean["n"] == 2


def test_curves_that_log_at_other_places_have_a_mean_where_all_of_them_go() -> None:
    first = (np.array([1.0, 3.0, 5.0, 7.0]), np.array([0.0, 2.0, 4.0, 6.0]))
    second = (np.array([2.0, 4.0, 6.0]), np.array([3.0, 5.0, np.nan]))

    places, values = at_shared_places([first, second])

    assert places.tolist() == [2, 3, 4, 5, 6]
    assert values[0].tolist() == [1, 2, 3, 4, 5]
    assert values[1, :3].tolist() == [3, 4, 5]
    assert np.isnan(values[1, 3:]).all()
    same, stacked = at_shared_places([first, first])
    assert same is first[0]
    assert stacked.shape == (2, 4)


def test_curves_follow_the_order_of_the_axis_and_have_no_band_for_one_seed(frames: StudyFrames) -> None:
    table = computed(frames, {"kind": "curves", "by": "encoder", "x": "epoch"})

    means = table[table["seed"].isna()]
    assert list(means["value"].unique()) == ["pixel_channel", "conv", "pixel"]
    assert means[means["value"] == "pixel"]["low"].isna().all()
    assert list(means[means["value"] == "conv"]["x"]) == [1.0, 2.0]


def test_smoothing_uses_full_windows_and_is_stated(frames: StudyFrames) -> None:
    options = {"kind": "curves", "by": "encoder", "smooth": 4}
    kind, config = parse(options)

    table = kind.compute(frames, config)

    raw = frames.curves[(frames.curves["cell"] == "baseline") & (frames.curves["seed"] == 0)]
    own = table[(table["value"] == "pixel_channel") & (table["seed"] == 0)]
    assert own["loss"].iloc[0] == pytest.approx(raw["loss_direction"].iloc[:4].mean())
    assert own["x"].iloc[0] == raw["optimizer_step"].iloc[3]
    assert "Moving average over 4 batches." in kind.caption(table, config)


def test_grid_shows_the_first_seed_and_says_why_a_tile_is_missing(frames: StudyFrames) -> None:
    kind, config = parse({"kind": "image_grid", "rows": "epoch", "columns": "encoder", "images": 2})

    table = kind.compute(frames, config)

    edits = table[table["kind"] == "made"]
    assert len(edits) == 2 * 2 * 3
    assert set(edits["seed"]) == {0}
    assert set(edits[edits["column"] == 2]["status"]) == {"failed"}
    assert edits[edits["column"] < 2]["png"].notna().all()
    assert "seed 0 (the first" in kind.caption(table, config)
    assert "4 tiles without a picture" in kind.caption(table, config)


@pytest.mark.parametrize(
    ("rows", "columns", "place"),
    [("image", "encoder", "column"), ("encoder", "image", "row"), ("epoch", "encoder", "row")],
)
def test_references_stand_before_the_edits(rows: str, columns: str, place: str, frames: StudyFrames) -> None:
    table = computed(frames, {"kind": "image_grid", "rows": rows, "columns": columns, "images": 2})

    references = table[table["kind"] != "made"]
    assert set(references["kind"]) == {"original", "reconstruction", "counterfactual"}
    assert (references[place] < 0).all()
    assert len(references) == 6


def test_grid_over_strength_uses_the_last_epoch(frames: StudyFrames) -> None:
    table = computed(frames, {"kind": "image_grid", "rows": "image", "columns": "strength", "images": 1})

    edits = table[table["kind"] == "made"]
    assert list(edits["strength"]) == [0.0, 0.5, 1.0]
    assert set(edits["epoch"]) == {2}
    pictures = [decode(png).astype(int) for png in edits["png"]]
    assert np.abs(pictures[0] - pictures[2]).sum() > np.abs(pictures[0] - pictures[1]).sum() > 0


def test_effects_hold_each_seed_and_its_mean(frames: StudyFrames) -> None:
    table = computed(frames, {"kind": "effects"})

    conv = table[table["cell"] == "encoder=conv"]
    assert conv[conv["seed"].isna()]["difference"].iloc[0] == pytest.approx(
        conv[conv["seed"].notna()]["difference"].mean()
    )
    summary = table[table["seed"].isna()].set_index("label")
    assert summary.loc["pixel", "num_failed"] == 1
    assert summary.loc["conv", "word"] == "estimate"


def test_table_averages_finished_trials_and_marks_no_winner_among_distances(frames: StudyFrames) -> None:
    table = computed(frames, {"kind": "table", "metrics": ["counterfactual_gain", "l1_distance"]})

    best = table[table["is_best"]]
    pixel = table[(table["row_label"] == "pixel") & (table["metric"] == "counterfactual_gain")].iloc[0]
    assert list(best["metric"]) == ["counterfactual_gain"]
    assert list(best["row_label"]) == ["pixel_channel"]
    assert (pixel["n"], pixel["num_planned"], pixel["num_failed"]) == (1, 2, 1)
    assert np.isnan(pixel["spread"])


def test_table_is_written_as_markdown_and_latex(frames: StudyFrames, tmp_path: Path) -> None:
    kind, config = parse({"kind": "table", "metrics": ["s_dir"]})
    assert kind.text is not None

    table = kind.text(kind.compute(frames, config), config)
    markdown, latex = write_table(table, "A caption.", tmp_path / "table")

    lines = markdown.read_text().splitlines()
    assert lines[0] == "| cell | S_dir ↑ | n |"
    assert lines[2].startswith("| pixel_channel † | **0.")
    assert lines[4].endswith("| 1 of 2 (1 failed) |")
    assert r"S\_dir $\uparrow$" in latex.read_text()
    assert r"\textbf{0." in latex.read_text()


@pytest.mark.parametrize(
    ("figure", "place", "message"),
    [
        ({"kind": "curve"}, ("kind",), "expected one of .*; found 'curve'; did you mean curves?"),
        ({}, ("kind",), "expected one of .*; found nothing"),
        ({"kind": "curves", "by": "encodr"}, ("by",), "found 'encodr'; did you mean encoder?"),
        ({"kind": "curves", "by": "heads", "smoth": 3}, ("smoth",), "unknown option.*did you mean smooth?"),
        ({"kind": "curves"}, ("by",), "expected a value; found nothing"),
        (
            {"kind": "curves", "by": "heads", "y": ["loss_directon"]},
            ("y", 0),
            "expected .*did you mean loss_direction?",
        ),
        ({"kind": "curves", "by": "heads", "fixed": {"encoder": "cnv"}}, ("fixed", "encoder"), "mean conv?"),
        ({"kind": "image_grid", "rows": "epochs", "columns": "heads"}, ("rows",), "did you mean epoch?"),
        ({"kind": "image_grid", "rows": "epoch", "columns": "epoch"}, ("columns",), "another axis than rows"),
        ({"kind": "table", "metrics": ["sdir"]}, ("metrics", 0), "did you mean s_dir?"),
        ({"kind": "effects", "name": "lr/curve"}, ("name",), "expected a name that a file .*: leave out /"),
        (
            {"kind": "effects", "name": "../../x"},
            ("name",),
            "expected a name that a file .*begins with a dot",
        ),
        ({"kind": "trade_off", "x": "image_step"}, ("x",), "did you mean image_steps?"),
    ],
)
def test_wrong_figures_are_found_before_anything_runs(
    figure: dict[str, Any], place: tuple[str | int, ...], message: str
) -> None:
    problems = check([{"kind": "effects"}, figure], AXES)

    assert [found for found, _ in problems] == [(1, *place)]
    assert re.search(message.replace("?", r"\?"), problems[0][1])


def test_right_figures_have_no_problems() -> None:
    figures = [{"kind": kind, **options} for kind, options in OPTIONS.items()]
    figures += [{"kind": "image_grid", "rows": "strength", "columns": "heads", "panels": "image"}]

    assert check(figures, AXES) == []


def test_checking_figures_imports_neither_matplotlib_nor_scipy_nor_ray() -> None:
    code = (
        "import sys; from analysis.figures import check; check([{'kind': 'curves', 'by': 'a'}], {'a': [1]}); "
        "print([name for name in ('matplotlib', 'ray', 'scipy', 'torch') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.strip() == "[]"
