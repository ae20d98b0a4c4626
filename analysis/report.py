"""The report of a study: figures, tables, and one self-contained report.html."""

import base64
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from analysis import methods, style
from analysis.contrasts import Judgement, judge_study, verdict_sentence
from analysis.figures import DEFAULT_FIGURES, FigureConfig, FigureKind, parse
from analysis.figures.table import grid, header
from analysis.frames import StudyFrames, load_frames
from analysis.labels import metric_info, number, p_value, with_interval
from analysis.stats import Contrast

WIDTH = 80
"""Columns of a terminal that nothing here exceeds."""


@dataclass(frozen=True)
class ReportFigure:
    """One entry of the space's `figures`, written and ready for the page."""

    name: str
    heading: str
    caption: str
    data_uri: str | None
    """The picture; None for tables and for kinds that could not be drawn."""
    header: list[str]
    rows: list[list[str]]
    """A table's entries, with ** around the best; empty for pictures."""


def build_report(study_folder: Path, out: Path | None = None) -> Path:
    """Write figures (png, svg, csv), tables (md, csv, tex), effects.md and report.html; return the latter.

    `out` is `<study_folder>/report` when left out. With an empty ledger the report says what is missing.
    Raises LedgerError when the folder holds no study.
    """
    frames = load_frames(study_folder)
    judgement = judge_study(frames)
    out = out or study_folder / "report"
    out.mkdir(parents=True, exist_ok=True)
    figures = _write_figures(frames, out)
    (out / "effects.md").write_text(effects_markdown(frames, judgement), encoding="utf-8")
    page = out / "report.html"
    page.write_text(_render(frames, judgement, figures), encoding="utf-8")
    return page


def verdict_lines(study_folder: Path) -> list[str]:
    """The verdicts as lines of at most 80 characters, for a terminal."""
    frames = load_frames(study_folder)
    judgement = judge_study(frames)
    lines = textwrap.wrap(_question_line(frames), WIDTH)
    for sentence in _verdicts(frames, judgement):
        lines += textwrap.wrap(sentence, WIDTH, initial_indent="  ", subsequent_indent="      ")
    for claim in judgement.claims:
        text = f"claim {claim.verdict}: {claim.text}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ")
    return lines + textwrap.wrap(methods.progress_sentence(frames), WIDTH)


def effects_markdown(frames: StudyFrames, judgement: Judgement) -> str:
    """The contrasts as a pipe table, under a sentence that says what they are."""
    lines = [_question_line(frames), ""]
    titles = _EFFECT_TITLES
    lines += ["| " + " | ".join(titles) + " |", "| :-- | :-- |" + " --: |" * (len(titles) - 2)]
    lines += ["| " + " | ".join(row) + " |" for row in _effect_rows(frames, judgement)]
    return "\n".join(lines) + "\n"


_EFFECT_TITLES = [
    *[
        "cell",
        "verdict",
        "difference [interval]",
        "level",
        "pairs",
        "failed",
        "not run",
        "p (Holm)",
        "sign-flip p",
    ],
    *["TOST p (Holm)", "P(better)", "p, failures worst", "seeds to decide"],
]


def _effect_rows(frames: StudyFrames, judgement: Judgement) -> list[list[str]]:
    return [
        [
            frames.cell_label(contrast.name),
            "estimate" if contrast.is_estimate else contrast.verdict,
            with_interval(contrast.mean, contrast.interval.low, contrast.interval.high),
            f"{100 * contrast.interval.level:.3g} %",
            str(contrast.n),
            str(contrast.num_failed),
            str(contrast.sample.missing),
            _short_p(contrast.p_holm),
            _short_p(contrast.p),
            _short_p(contrast.tost_p_holm),
            number(contrast.probability_of_improvement, decimals=2),
            _short_p(contrast.worst_rank_p) if contrast.num_failed else "–",
            _seeds_to_decide(contrast),
        ]
        for contrast in judgement.contrasts
    ]


def _seeds_to_decide(contrast: Contrast) -> str:
    if contrast.verdict != "undecided":
        return "–"
    return f"≥ {contrast.min_pairs}" if contrast.seeds_needed is None else f"≈ {contrast.seeds_needed}"


def _short_p(value: float) -> str:
    return p_value(value).removeprefix("p ").removeprefix("= ")


def _question_line(frames: StudyFrames) -> str:
    info = metric_info(frames.primary_metric)
    better = "higher is better" if info.higher_is_better else "lower is better"
    baseline = frames.cell_label(frames.baseline) if frames.baseline else "no baseline"
    return f"{info.label} against {baseline} ({better}; margin {frames.margin:g}; positive is an improvement)"


def _verdicts(frames: StudyFrames, judgement: Judgement) -> list[str]:
    if not judgement.contrasts:
        return ["No contrast: the study has only its baseline."]
    return [verdict_sentence(frames, contrast) for contrast in judgement.contrasts]


def _write_figures(frames: StudyFrames, out: Path) -> list[ReportFigure]:
    written: list[ReportFigure] = []
    for options in frames.study.figures or DEFAULT_FIGURES:
        kind, config = parse(options)
        taken = [figure.name for figure in written]
        written.append(_write_figure(frames, out, kind, config, _free_name(config, taken)))
    return written


def _free_name(config: FigureConfig, taken: list[str]) -> str:
    """The figure's file name, numbered where an earlier one has it."""
    wanted = config.name or config.default_name()
    names = [wanted, *(f"{wanted}_{count}" for count in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def _write_figure(
    frames: StudyFrames, out: Path, kind: FigureKind, config: FigureConfig, name: str
) -> ReportFigure:
    computed = kind.compute(frames, config)
    stem = out / name
    _without_pictures(computed).to_csv(stem.with_name(f"{name}.csv"), index=False, float_format="%.7g")
    data_uri = None
    if kind.draw is not None:
        png, svg = style.save_figure(kind.draw(computed, config), stem)
        data_uri = _data_uri(svg, "image/svg+xml") if kind.vector else _data_uri(png, "image/png")
    titles, rows = [], []
    if kind.write is not None:
        kind.write(computed, config, stem)
        titles = ["", *(f"{info.label} {info.arrow}" for info in header(computed)), "n"]
        rows = grid(
            computed, lambda mean, half: f"{mean} ± {half}" if half else mean, lambda text: f"**{text}**"
        )
    heading = config.title or config.heading()
    return ReportFigure(name, heading, kind.caption(computed, config), data_uri, titles, rows)


def _without_pictures(computed: pd.DataFrame) -> pd.DataFrame:
    return computed.drop(columns=[column for column in ("png",) if column in computed])


def _data_uri(path: Path, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _render(frames: StudyFrames, judgement: Judgement, figures: list[ReportFigure]) -> str:
    environment = Environment(
        loader=PackageLoader("analysis"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(_page(frames, judgement, figures))


def _page(frames: StudyFrames, judgement: Judgement, figures: list[ReportFigure]) -> dict[str, Any]:
    """Everything the template shows, already as text."""
    fairness = methods.fairness(frames)
    info = metric_info(frames.primary_metric)
    return {
        "study": frames.study,
        "metric": info,
        "margin": f"{frames.margin:g}",
        "baseline": frames.cell_label(frames.baseline) if frames.baseline else "none",
        "progress": methods.progress_sentence(frames),
        "verdicts": list(
            zip([c.verdict for c in judgement.contrasts], _verdicts(frames, judgement), strict=False)
        ),
        "no_contrast": not judgement.contrasts,
        "effect_titles": _EFFECT_TITLES,
        "effect_rows": _effect_rows(frames, judgement),
        "claims": [_claim_row(claim) for claim in judgement.claims],
        "figures": figures,
        "fairness_titles": ["cell", *fairness.columns[2:]],
        "fairness_rows": [
            [label, *(_amount(value) for value in values)]
            for label, *values in fairness.drop(columns="cell").itertuples(index=False)
        ],
        "unfinished": methods.unfinished(frames).to_dict("records"),
        "warnings": methods.warnings(frames),
        "methods": methods.methods_paragraph(frames, judgement),
        "provenance": methods.provenance(frames),
    }


def _claim_row(claim: Any) -> dict[str, str]:
    contrast = claim.contrast
    numbers = "no such cells in the plan"
    if contrast is not None:
        interval = contrast.interval
        numbers = f"{with_interval(contrast.mean, interval.low, interval.high)}, n = {contrast.n}, "
        numbers += p_value(contrast.p_holm)
    metric = metric_info(claim.metric).label
    return {
        "text": claim.text,
        "source": claim.source,
        "verdict": claim.verdict,
        "numbers": f"{metric}, {claim.comparison}: {numbers}",
    }


def _amount(value: float) -> str:
    """A count or a mean, with thousands separated."""
    if pd.isna(value):
        return "–"
    return f"{value:,.0f}" if value >= 10 or float(value).is_integer() else number(float(value))
