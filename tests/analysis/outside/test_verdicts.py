"""Results that were measured elsewhere are judged as those of a study."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from outside_results import judged, runs

from analysis.contrasts import sample_of
from analysis.frames import load_frames
from analysis.labels import use_words
from analysis.outside.question import text_of
from analysis.stats import judge


def answers(num_seeds: int, num_items: int = 60) -> pd.DataFrame:
    """Two variants on items that vary; `b` is better."""
    generator = np.random.default_rng(1)
    easy = generator.normal(0, 0.2, num_items)
    rows = [
        {"model": model, "seed": seed, "item": item, "part": item // 6,
         "acc": easy[item] + shift + generator.normal(0, 0.05)}
        for seed in range(num_seeds) for item in range(num_items) for model, shift in (("a", 0.0), ("b", 0.3))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_trials_of_a_study_get_its_verdicts(make_study: Callable[..., Path], tmp_path: Path) -> None:
    """No second truth: the same rows, written to a CSV, are judged the same to the last bit."""
    frames = load_frames(make_study(failed={("conv", 2)}))
    frames.trials[["cell", "seed", "metric_counterfactual_gain"]].to_csv(tmp_path / "t.csv", index=False)

    found = judged(
        tmp_path / "t.csv", variant="cell", metric="metric_counterfactual_gain", baseline="baseline",
        margin=0.05, missing="count",
    )  # fmt: skip

    samples = [
        sample_of(frames, frames.primary_metric, *pair)
        for pair in (("encoder=conv", "baseline"), ("encoder=pixel", "baseline"))
    ]
    expected = judge(samples, margin=0.05, alpha=0.05)
    assert [one.verdict for one in found.contrasts] == [one.verdict for one in expected]
    assert [one.num_failed for one in found.contrasts] == [1, 0]
    for one, other in zip(found.contrasts, expected, strict=True):
        assert (one.mean, one.interval, one.p_holm, one.p, one.tost_p_holm, one.worst_rank_p) == (
            other.mean, other.interval, other.p_holm, other.p, other.tost_p_holm, other.worst_rank_p,
        )  # fmt: skip


def test_every_kind_of_file_gives_the_same_verdicts(tmp_path: Path) -> None:
    frame = runs()
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_csv(tmp_path / "r.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    frame.to_csv(tmp_path / "marked.csv", index=False, encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "r.parquet")
    frame.assign(seed=frame["seed"].astype("float32")).to_parquet(tmp_path / "floats.parquet")
    frame.to_json(tmp_path / "r.jsonl", orient="records", lines=True, double_precision=15)
    frame.to_json(tmp_path / "r.json", orient="records", double_precision=15)
    expected = judged(frame).as_json()

    for path in sorted(tmp_path.iterdir()):
        found = judged(path).as_json()
        assert [one["verdict"] for one in found["contrasts"]] == ["helps", "equivalent"], path
        for one, other in zip(found["contrasts"], expected["contrasts"], strict=True):
            assert one["difference"] == pytest.approx(other["difference"], abs=1e-12)


def test_fewer_than_six_seeds_give_an_estimate_however_many_items_there_are() -> None:
    [contrast] = judged(answers(num_seeds=5), item="item").contrasts

    assert contrast.is_estimate
    assert contrast.n == 5


def test_seeds_and_items_speak_for_both() -> None:
    found = judged(answers(num_seeds=7), item="item")

    assert found.comparisons[0].over == "both"
    assert "new seeds and new items: 7 seeds and 60 items, 420 pairs" in found.population
    assert found.contrasts[0].verdict == "helps"
    assert found.contrasts[0].n == 7


def test_items_that_every_seed_draws_anew_are_said() -> None:
    frame = answers(num_seeds=7).assign(item=lambda table: 100 * table["seed"] + table["item"])

    assert "7 seeds, each with items of its own (420 items)" in judged(frame, item="item").population


def test_rows_without_a_partner_are_counted_and_said_where_that_is_asked_for() -> None:
    frame = runs().drop(index=[4, 7])

    found = judged(frame, missing="count")

    assert found.contrasts[0].n == 6
    assert "Rows without a partner, left out: 2." in found.population
    assert not any("running" in line for line in found.lines())


def test_one_seed_speaks_for_items_alone_and_says_so() -> None:
    found = judged(answers(num_seeds=1), item="item")

    assert found.contrasts[0].verdict == "helps"
    assert found.contrasts[0].n == 60
    assert "does not speak for new training runs" in found.population


def test_items_need_no_column_of_seeds() -> None:
    frame = answers(num_seeds=1).drop(columns="seed")

    assert judged(frame, seed=None, item="item").contrasts[0].n == 60


def test_items_of_one_cluster_count_as_one_replicate() -> None:
    found = judged(answers(num_seeds=1), item="item", cluster="part")

    assert found.contrasts[0].n == 10
    assert found.contrasts[0].sample.unit == "cluster"


def test_lower_is_better_turns_the_difference() -> None:
    assert judged(runs(), direction="lower").contrasts[0].verdict == "hurts"


def test_only_the_rows_that_are_asked_for_count() -> None:
    frame = pd.concat([runs().assign(split="test"), runs(better=-0.3).assign(split="train")])

    assert judged(frame, where=(("split", "test"),)).sentences == judged(runs()).sentences


def test_a_margin_may_be_a_share_of_the_baseline() -> None:
    found = judged(runs(), margin="5% of baseline")

    assert found.margin == pytest.approx(0.05 * found.baseline_mean)


def test_other_metrics_of_the_context_do_not_change_how_verdicts_show_themselves(tmp_path: Path) -> None:
    found = judged(runs())
    use_words({}, "h_space")

    written = found.write(tmp_path / "out")

    assert {path.name for path in written} == {
        *("effects.png", "effects.svg", "effects.csv", "effects.md"),
        *("contrasts.md", "contrasts.tex", "verdicts.csv", "verdicts.json"),
    }
    assert json.loads((tmp_path / "out" / "verdicts.json").read_text())["contrasts"][0]["verdict"] == "helps"
    assert "<td>helps" in found._repr_html_()
    assert "b helps" in repr(found)
    assert "+0.0496" in repr(found)


def test_names_in_a_file_show_as_they_are_written(write: Callable[..., Path]) -> None:
    rows = [f"{model},{seed},{0.5 + seed / 1000 + gain}" for model, gain in (("my_model", 0), ("<b>|x", 1))
            for seed in range(6)]  # fmt: skip
    found = judged(write("model,seed,acc\n" + "\n".join(rows)), baseline="my_model")

    assert "against my_model" in found.heading
    assert "&lt;b&gt;|x" in found._repr_html_()
    assert r"\|x" in found.markdown()


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3 ", np.int64(3), np.float32(3)])
def test_the_same_name_from_every_kind_of_file(value: object) -> None:
    assert text_of(value) == "3"
