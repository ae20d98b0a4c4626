import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.accounting import answer_costs, tuning_effort, warnings
from analysis.contrasts import judge_study
from analysis.frames import load_frames
from analysis.methods import methods_paragraph
from analysis.page.shape import StudyPage
from analysis.report import build_report, verdict_lines
from orchestrator.ledger import LedgerError, read_study, write_study

TWO = {"pixel_channel": 0.6, "conv": 0.4}
TABLE = [{"kind": "table"}]
SMALL = {"effects": TWO, "epochs": 1, "batches": 4, "num_images": 1}
Study = Callable[..., Path]
PageData = Callable[[Path], StudyPage]


def test_report_is_one_file_without_links_to_anywhere(make_study: Study, page_data: PageData) -> None:
    claim = {"text": "pixel_channel is best", "axis": "encoder", "better": "pixel_channel", "worse": "conv"}
    folder = make_study(
        **SMALL,
        num_seeds=7,
        failed={("conv", 6)},
        claims=[claim | {"source": "figure 15"}],
        notes=["Prompt cosine guarded."],
    )

    page = build_report(folder)

    html = page.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', html)
    assert all(source.startswith(("data:", "#")) for source in sources)
    addresses = re.findall(r"https?://[\w./]+", re.sub(r"data:image/[^\"]*", "", html))
    assert addresses == ["http://www.w3.org/2000/svg"]  # the name of a language, which nobody fetches
    shown = json.dumps(page_data(page))
    for expected in (
        "Which reading of the bottleneck",
        "conv hurts, by at least the margin: ",
        '"verdict": "supported", "text": "pixel_channel is best", "source": "figure 15"',
        "loss became NaN in epoch 2",
        "Prompt cosine guarded. (13 trials)",
        "optimizer steps",
        "13 of 14 trials done, 1 failed.",
        "on the domain avatars for the attribute smiling",
        "0123456789abcdef",
    ):
        assert expected in shown


def test_report_leaves_figures_and_tables_for_a_paper(make_study: Study, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"

    build_report(make_study(**SMALL, num_seeds=2), out)

    names = {path.name for path in out.iterdir()}
    assert {f"curves_encoder.{ending}" for ending in ("png", "svg", "csv")} <= names
    assert {f"image_grid_epoch_encoder.{ending}" for ending in ("png", "svg", "csv")} <= names
    assert {"table.md", "table.tex", "table.csv", "effects.md", "effects.csv", "report.html"} <= names
    assert "estimate" in (out / "effects.md").read_text()


def test_two_figures_of_one_kind_get_two_names(make_study: Study) -> None:
    figures = [{"kind": "table", "metrics": ["s_dir"]}, {"kind": "table"}]

    page = build_report(make_study(**SMALL, num_seeds=1, figures=figures))

    assert page.with_name("table.csv").exists()
    assert page.with_name("table_2.csv").exists()


def test_names_that_differ_in_case_alone_or_are_the_reports_own_get_a_number(make_study: Study) -> None:
    names = ["Curve", "curve", "contrasts"]
    folder = make_study(**SMALL, num_seeds=2, figures=[{"kind": "table", "name": name} for name in names])

    build_report(folder)

    written = {path.name for path in (folder / "report").glob("*.csv")}
    assert {"Curve.csv", "curve_2.csv", "contrasts_2.csv"} <= written


def test_report_of_an_empty_ledger_says_what_is_missing(make_study: Study) -> None:
    html = build_report(make_study(is_empty=True, num_seeds=2)).read_text(encoding="utf-8")

    assert "0 of 6 trials done, 6 not run." in html
    assert "running, none of 2 pairs yet" in html
    assert "No trial has finished" in html


def test_report_of_one_seed_gives_no_interval(make_study: Study, page_data: PageData) -> None:
    page = page_data(build_report(make_study(**SMALL, num_seeds=1)))

    (effect,) = page["effects"]["effects"]
    assert "estimate only" in effect["sentence"]
    assert effect["seeds_to_decide"] == "No test can decide below 6 pairs."
    assert effect["low"] is effect["high"] is None
    assert page["curves"]["means"] == []


def test_verdict_lines_fit_eighty_columns(make_study: Study) -> None:
    claim = {"text": "conv " * 30, "axis": "encoder", "better": "conv", "worse": "pixel_channel"}
    folder = make_study(**SMALL, num_seeds=7, failed={("conv", 6)}, claims=[claim])

    lines = verdict_lines(folder)

    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Counterfactual gain, training CLIP against pixel_channel (higher is better")
    assert any(line.startswith("  conv hurts, by at least the margin: −0.") for line in lines)
    assert any(line.startswith("  claim contradicted:") for line in lines)
    assert lines[-1] == "13 of 14 trials done, 1 failed."


def test_a_folder_without_a_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="holds no study"):
        build_report(tmp_path)


def test_a_plan_that_changed_after_the_first_launch_is_said(make_study: Study) -> None:
    folder = make_study(**SMALL, num_seeds=2, figures=TABLE)
    document = json.loads((folder / "study.json").read_text())
    write_study(folder, document | {"plan_hash": "fedcba9876543210"})
    write_study(folder, document | {"plan_hash": "fedcba9876543210"})

    html = build_report(folder).read_text(encoding="utf-8")

    hashes = [entry["hash"] for entry in read_study(folder).plan_hashes]
    assert hashes == ["0123456789abcdef", "fedcba9876543210"]
    assert "The plan changed after the first launch: 0123456789abcdef became fedcba9876543210" in html
    assert "when 4 trials of the present plan had finished" in html


def test_an_unchanged_plan_is_not_said_to_have_changed(make_study: Study) -> None:
    folder = make_study(**SMALL, num_seeds=2, figures=TABLE)
    write_study(folder, json.loads((folder / "study.json").read_text()))

    assert "The plan changed" not in build_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(("metric", "is_warned"), [("counterfactual_gain", True), ("judged_gain", False)])
def test_a_report_says_when_the_judge_trained_the_editors(
    make_study: Study, metric: str, is_warned: bool
) -> None:
    folder = make_study(**SMALL, num_seeds=2)
    document = json.loads((folder / "study.json").read_text())
    write_study(folder, {**document, "primary": {"metric": metric, "margin": 0.05, "alpha": 0.05}})

    lines = warnings(load_frames(folder))
    page = build_report(folder).read_text(encoding="utf-8")

    told = "measured by the CLIP that trained the editors"
    assert any(told in line for line in lines) == is_warned
    assert (told in page) == is_warned


def test_records_of_removed_seeds_are_left_out_and_counted(make_study: Study) -> None:
    folder = make_study(**SMALL, num_seeds=3)
    document = json.loads((folder / "study.json").read_text())
    for cell in document["cells"]:
        cell["trials"] = cell["trials"][:2]
    write_study(folder, document)

    frames = load_frames(folder)

    assert len(frames.trials) == 4
    assert frames.num_removed_seeds == 2
    assert "The ledger keeps 2 trials of seeds that are no longer in the space" in " ".join(warnings(frames))


def test_every_answer_has_its_price(make_study: Study) -> None:
    frames = load_frames(make_study(**SMALL, num_seeds=6, failed={("conv", 5)}))

    rows = answer_costs(frames, judge_study(frames))

    assert [row[0] for row in rows] == ["pixel_channel", "conv", "in all"]
    assert rows[1][2:4] == ["6", "6"]
    assert rows[2][4] == f"{2 * sum(40 + seed for seed in range(6)) / 60:.0f} min"
    assert rows[2][5] == "–"


def test_methods_name_every_departure_from_the_published_training(make_study: Study) -> None:
    frames = load_frames(
        make_study(
            **SMALL,
            num_seeds=2,
            training={
                "conv": {"trajectory": "reference", "clip_loss": "plain"},
                "pixel_channel": {"trajectory": "reference", "clip_loss": "log"},
            },
        )
    )

    text = methods_paragraph(frames, judge_study(frames))

    assert "trajectory of x_t reference (published: edited)" in text
    assert "CLIP loss log, plain (published: log)" in text
    assert "optimizer step per" not in text


def test_training_settings_of_a_cell_stand_beside_the_fairness_table(make_study: Study) -> None:
    frames = load_frames(make_study(**SMALL, num_seeds=1, training={"conv": {"batch_size": 4}}))

    assert tuning_effort(frames) == ["conv: batch size 4 (baseline 8)."]


def test_tables_are_latex_that_a_paper_can_take(make_study: Study, tmp_path: Path) -> None:
    build_report(make_study(**SMALL, num_seeds=2, figures=TABLE), tmp_path / "out")

    for name in ("contrasts", "table"):
        text = (tmp_path / "out" / f"{name}.tex").read_text(encoding="utf-8")
        assert text.isascii()
        assert text.count("{") == text.count("}")
        columns = {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")}
        assert len(columns) == 1


def test_a_search_lists_its_trials_and_compares_nothing(
    make_study: Study, edit_study_file: Callable[[Path, dict[str, Any]], None], page_data: PageData
) -> None:
    folder = make_study(**SMALL, num_seeds=1, figures=[{"kind": "slice"}])
    cells = json.loads((folder / "study.json").read_text())["cells"]
    without_baseline = [{**cell, "is_baseline": False} for cell in cells]
    search = {"design": "optuna", "design_settings": {"sampler": "gp"}, "cells": without_baseline}
    edit_study_file(folder, search)

    page = build_report(folder)
    shown = page_data(page)

    places = [line.split(" | ")[1] for line in (page.parent / "trials.md").read_text().splitlines()[2:]]
    assert places == ["pixel_channel", "conv"]  # the better one first
    assert shown["search"] is not None
    assert "sampler gp" in shown["search"]["sentence"]
    assert [row[1] for row in shown["search"]["table"]["rows"]] == places
    assert shown["effects"]["effects"] == []
    assert "paired" not in shown["header"]["terms"] + shown["methods"]
    assert not list(page.parent.glob("contrasts.*"))


def test_methods_tell_only_how_far_many_numbers_reach(make_study: Study) -> None:
    effects = {str(number): 0.1 for number in range(10)}
    training = {name: {"t_edit": 300 + 10 * int(name)} for name in effects}
    frames = load_frames(make_study(effects=effects, num_seeds=1, training=training, num_images=1))

    assert "t_edit 300 to 390." in methods_paragraph(frames, judge_study(frames))


@pytest.mark.parametrize(("has_items", "pairs"), [(True, "seed and item"), (False, "seed")])
def test_methods_name_pairs_by_what_the_study_has(make_study: Study, has_items: bool, pairs: str) -> None:
    frames = load_frames(make_study(**SMALL, num_seeds=1))
    if not has_items:
        frames = replace(frames, evaluations=frames.evaluations.iloc[:0])

    text = methods_paragraph(frames, judge_study(frames))

    assert f"Contrasts are paired by {pairs}, with t intervals" in text
    assert "1 seed is too few for a verdict, and spends nothing of it." in text
