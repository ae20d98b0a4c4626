import re
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.report import build_report, verdict_lines
from orchestrator.ledger import LedgerError

TWO = {"pixel_channel": 0.6, "conv": 0.4}
SMALL = {"effects": TWO, "epochs": 1, "batches": 4, "num_images": 1}
Study = Callable[..., Path]


def test_report_is_one_file_without_links_to_anywhere(make_study: Study) -> None:
    claim = {"text": "pixel-channel is best", "axis": "encoder", "better": "pixel_channel", "worse": "conv"}
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
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in re.sub(r"data:image/[^\"]*", "", html)
    for expected in (
        "Which reading of the bottleneck",
        "<strong>conv hurts</strong>",
        "<strong>supported</strong>: pixel-channel is best (figure 15)",
        "loss became NaN in epoch 2",
        "Prompt cosine guarded. (13 trials)",
        "optimizer steps",
        "13 of 14 trials done, 1 failed.",
        "on the domain avatars for the attribute smiling",
        "0123456789abcdef",
    ):
        assert expected in html


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


def test_report_of_an_empty_ledger_says_what_is_missing(make_study: Study) -> None:
    html = build_report(make_study(is_empty=True, num_seeds=2)).read_text(encoding="utf-8")

    assert "0 of 6 trials done, 6 not run." in html
    assert "no verdict, 0 pairs, 2 not run" in html
    assert "No trial has finished" in html


def test_report_of_one_seed_gives_no_interval(make_study: Study) -> None:
    html = build_report(make_study(**SMALL, num_seeds=1)).read_text(encoding="utf-8")

    assert "estimate only" in html
    assert "No test can decide below 6 pairs." in html
    assert not re.search(r"\bnan\b", re.sub(r"data:image/[^\"]*", "", html), re.IGNORECASE)


def test_verdict_lines_fit_eighty_columns(make_study: Study) -> None:
    claim = {"text": "conv " * 30, "axis": "encoder", "better": "conv", "worse": "pixel_channel"}
    folder = make_study(**SMALL, num_seeds=7, failed={("conv", 6)}, claims=[claim])

    lines = verdict_lines(folder)

    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Counterfactual gain against pixel-channel (higher is better")
    assert any(line.startswith("  conv hurts: −0.") for line in lines)
    assert any(line.startswith("  claim contradicted:") for line in lines)
    assert lines[-1] == "13 of 14 trials done, 1 failed."


def test_a_folder_without_a_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="holds no study"):
        build_report(tmp_path)
