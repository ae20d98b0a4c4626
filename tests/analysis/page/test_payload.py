"""What the page of a study is told, read from its data alone."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.contrasts import judge_study
from analysis.curve_lines import extremes, mean_with_interval, trailing_mean
from analysis.frames import load_frames
from analysis.page.assets import MAX_WITHOUT_SCRIPT, report_html
from analysis.page.curves import packed
from analysis.page.payload import study_page
from analysis.page.shape import Figure, Packed, StudyPage
from analysis.stats import FloatArray

Study = Callable[..., Path]


def page_of(folder: Path) -> StudyPage:
    frames = load_frames(folder)
    return study_page(frames, judge_study(frames))


def unpacked(line: Packed) -> FloatArray:
    codes = np.frombuffer(base64.b64decode(line["codes"]), "<u2").astype(float)
    share = np.where(codes == 65535, np.nan, codes / 65534)
    if line["is_log"]:
        return np.asarray(line["low"] * (line["high"] / line["low"]) ** share)
    return np.asarray(line["low"] + share * (line["high"] - line["low"]))


def test_a_page_is_json_without_nan(make_study: Study) -> None:
    page = page_of(make_study(num_seeds=2, failed={("conv", 1)}, missing={("pixel", 0)}))

    assert json.loads(json.dumps(page, allow_nan=False)) == page


def test_only_a_small_picture_of_what_the_script_draws_is_in_the_page(make_study: Study) -> None:
    page = page_of(make_study(num_seeds=2))

    for letters, is_there in ((100, True), (MAX_WITHOUT_SCRIPT, False)):
        figure: Figure = {
            "name": "effects",
            "kind": "effects",
            "heading": "Effects",
            "caption": "Effects.",
            "picture": f"data:image/png;base64,{letters * 'A'}",
            "table": None,
        }
        assert (f"{letters * 'A'}" in report_html({**page, "figures": [figure]})) == is_there


def test_an_empty_study_has_a_page(make_study: Study) -> None:
    page = page_of(make_study(is_empty=True, num_seeds=2))

    assert page["header"]["progress"] == "0 of 6 trials done, 6 not run."
    assert page["curves"]["columns"] == []
    assert page["trials"]["statuses"] == ["missing"] * 6
    assert [effect["n"] for effect in page["effects"]["effects"]] == [0, 0]


def test_trials_stand_in_the_order_of_the_plan_with_what_they_changed(make_study: Study) -> None:
    page = page_of(make_study(num_seeds=2, training={"conv": {"batch_size": 4}}))

    trials = page["trials"]
    assert trials["cells"] == [0, 0, 1, 1, 2, 2]
    assert trials["seeds"] == [0, 1] * 3
    assert trials["base"]["training.batch_size"] == 8
    assert trials["changes"][trials["configs"][2]] == {"editor.kind": "conv", "training.batch_size": 4}


def test_the_primary_metric_leads_the_metrics(make_study: Study) -> None:
    page = page_of(make_study(num_seeds=2))

    metrics = [column for column in page["trials"]["columns"] if column["group"] == "metric"]
    assert metrics[0]["name"] == page["metric"]["name"] == "counterfactual_gain"


def test_failures_come_with_the_end_of_their_log(make_study: Study) -> None:
    folder = make_study(num_seeds=2, failed={("conv", 1)})
    signature = "conv01".ljust(16, "0")
    (folder / "logs").mkdir()
    (folder / "logs" / f"{signature}.log").write_text("\n".join(f"line {index}" for index in range(50)))

    page = page_of(folder)

    (failure,) = page["failures"]
    assert failure["reason"] == "loss became NaN in epoch 2, batch 3"
    assert page["trials"]["log_ends"][failure["trial"]].splitlines()[-1] == "line 49"
    assert len(page["trials"]["log_ends"][failure["trial"]].splitlines()) == 20
    assert page["trials"]["log_files"][failure["trial"]] == f"logs/{signature}.log"


def test_mean_curves_are_those_of_the_figures(make_study: Study) -> None:
    folder = make_study(num_seeds=3, figures=[{"kind": "curves", "by": "encoder", "y": "loss_total"}])
    frames = load_frames(folder)

    page = study_page(frames, judge_study(frames))

    assert page["curves"]["columns"][0]["name"] == "loss_total"
    line = next(line for line in page["curves"]["means"] if (line["cell"], line["column"]) == (0, 0))
    own = frames.curves[frames.curves["cell"] == "baseline"]
    smooth = [
        trailing_mean(curve["loss_total"].to_numpy(), len(curve) // 20) for _, curve in own.groupby("seed")
    ]
    mean, low, _ = mean_with_interval(np.stack(smooth))
    assert unpacked(line["y"]) == pytest.approx(mean, abs=1e-4)
    assert unpacked(line["low"]) == pytest.approx(low, abs=1e-4)
    assert line["n"] == 3


def test_thinning_keeps_the_highest_and_lowest_of_every_stretch() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    values[4321] = 50

    kept = extremes(values, 200)

    assert kept.shape == (100, 2)
    assert np.all(np.diff(kept, axis=1) >= 0)
    assert {values.argmax(), values.argmin()} <= set(kept.ravel())
    for start, (first, last) in zip(range(0, 10_000, 100), kept, strict=True):
        stretch = values[start : start + 100]
        assert sorted([values[first], values[last]]) == [stretch.min(), stretch.max()]


def test_long_curves_are_thinned_and_keep_their_peaks(make_study: Study) -> None:
    folder = make_study(num_seeds=1, epochs=5, batches=100)

    page = page_of(folder)

    line = page["curves"]["seeds"][0]
    name = page["curves"]["columns"][line["column"]]["name"]
    first = load_frames(folder).curves.groupby("signature", sort=False).get_group("pixelchannel0000")
    drawn = unpacked(line["y"])
    assert len(drawn) == len(page["curves"]["grids"][line["grid"]]) == 200
    assert [drawn.min(), drawn.max()] == pytest.approx([first[name].min(), first[name].max()])


@pytest.mark.parametrize(
    "values", [[1.0, 2.0, np.nan], [1e-6, 1.0, 100.0], [-3.0, 5.0], [2.0], [np.nan, np.nan], [0.0, np.inf]]
)
def test_packed_numbers_come_back(values: list[float]) -> None:
    given = np.array(values)

    back = unpacked(packed(given))

    finite = np.isfinite(given)
    assert np.isnan(back[~finite]).all()
    assert back[finite] == pytest.approx(given[finite], rel=2e-4, abs=1e-4)


def test_equal_pictures_are_stored_once_and_shared_kinds_are_known(make_study: Study) -> None:
    page = page_of(make_study(num_seeds=2, num_images=2))

    samples = page["samples"]
    assert {kind["name"]: kind["is_shared"] for kind in samples["kinds"]} == {
        "original": True,
        "reconstruction": True,
        "counterfactual": True,
        "edit": False,
    }
    assert [coordinate["name"] for coordinate in samples["coordinates"]] == ["epoch", "strength"]
    sources = [content["source"] for content in samples["contents"]]
    assert len(sources) == len(set(sources))
    assert all(source.startswith("data:image/png;base64,") for source in sources)
