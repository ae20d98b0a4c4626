"""The report of a study: figures, tables, and one self-contained report.html."""

import base64
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis import accounting, methods, style
from analysis.contrasts import Judgement, judge_study
from analysis.error_rate import alpha_sentence
from analysis.escaping import for_csv
from analysis.escaping import markdown as escaped
from analysis.figures import DEFAULT_FIGURES, FIGURES, FigureConfig, FigureKind, parse
from analysis.figures._text import TextTable, markdown, write_table
from analysis.forming import sentence
from analysis.frames import StudyFrames, load_frames
from analysis.labels import metric_info, swept
from analysis.page.assets import report_html
from analysis.page.payload import study_page, table_of
from analysis.page.shape import Figure
from analysis.placebo import placebo_lines, placebo_warnings
from analysis.report_tables import EFFECT_TITLES, effect_rows, printed_contrasts
from analysis.search_summary import picked_sentence, trials_table
from trainables.names import distinct, folded
from trainables.registry import origin_of
from trainables.sources import error_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_OWN_TABLES = {"contrasts", "effects", "methods", "trials"}
"""Tables and texts that the report writes besides those of its figures."""
MAX_VECTOR = 200_000
"""Bytes up to which a page takes a figure as SVG: one with very many marks is smaller as PNG."""
WIDTH = 80
"""Columns of a terminal that nothing here exceeds."""


def build_report(study_folder: Path, out: Path | None = None) -> Path:
    """Write figures (png, svg, csv), tables (md, csv, tex), effects, methods.md and report.html; return the latter.

    `out` is `<study_folder>/report` when left out. With an empty ledger the report says what is missing.
    Raises LedgerError when the folder holds no study.
    """
    frames = load_frames(study_folder)
    judgement = judge_study(frames)
    out = out or study_folder / "report"
    out.mkdir(parents=True, exist_ok=True)
    figures = _write_figures(frames, out)
    if frames.study.is_search:
        write_table(trials_table(frames), picked_sentence(frames), out / "trials")
    else:
        write_table(printed_contrasts(frames, judgement), _question_line(frames), out / "contrasts")
        (out / "effects.md").write_text(effects_markdown(frames, judgement), encoding="utf-8")
    paragraph = methods.methods_paragraph(frames, judgement)
    (out / "methods.md").write_text(escaped(paragraph) + "\n", encoding="utf-8")
    page = out / "report.html"
    page.write_text(report_html(study_page(frames, judgement, figures)), encoding="utf-8")
    return page


def verdict_lines(study_folder: Path) -> list[str]:
    """The verdicts as lines of at most 80 characters, for a terminal."""
    frames = load_frames(study_folder)
    judgement = judge_study(frames)
    lines = textwrap.wrap(_question_line(frames), WIDTH)
    for verdict in _verdicts(frames, judgement):
        lines += textwrap.wrap(verdict, WIDTH, initial_indent="  ", subsequent_indent="      ")
    for claim in judgement.claims:
        note = f" ({claim.note})" if claim.note else ""
        text = f"claim {claim.verdict}{note}: {claim.text}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ")
    for note in (*placebo_lines(frames), *placebo_warnings(frames), alpha_sentence(frames, judgement)):
        lines += textwrap.wrap(note, WIDTH)
    return lines + textwrap.wrap(accounting.progress_sentence(frames), WIDTH)


def effects_markdown(frames: StudyFrames, judgement: Judgement) -> str:
    """The contrasts as a pipe table, under a sentence that says what they are."""
    table = TextTable(EFFECT_TITLES, effect_rows(frames, judgement), 2)
    terms = "Intervals cover all at once; p values are adjusted for all comparisons and looks."
    notes = [terms, *placebo_lines(frames), alpha_sentence(frames, judgement)]
    return f"{escaped(_question_line(frames))}\n{escaped(' '.join(notes))}\n\n{markdown(table)}"


def _question_line(frames: StudyFrames) -> str:
    info = metric_info(frames.primary_metric)
    better = "higher is better" if info.higher_is_better else "lower is better"
    if frames.study.is_search:
        return f"{info.label} ({better})"
    terms = f"{better}; margin {frames.margin:g}; positive is an improvement"
    return f"{info.label} against {frames.reference_label} ({terms})"


def _verdicts(frames: StudyFrames, judgement: Judgement) -> list[str]:
    if frames.study.is_search:
        return [picked_sentence(frames)]
    if not judgement.contrasts:
        return ["No contrast: the study has only its baseline."]
    return [sentence(frames, judgement, contrast) for contrast in judgement.contrasts]


def _write_figures(frames: StudyFrames, out: Path) -> list[Figure]:
    written: list[Figure] = []
    for options in _asked(frames):
        if options["kind"] not in FIGURES:
            written.append(_not_here(frames, options["kind"]))
            continue
        kind, config = parse(options)
        taken = {folded(figure["name"]) for figure in written} | (
            _OWN_TABLES if kind.text is not None else set()
        )
        name = distinct(config.name or config.default_name(), taken)
        plugin = origin_of("figure", kind.name)
        try:
            written.append(_write_figure(frames, out, kind, config, name))
        except Exception as error:
            if plugin is None:
                raise
            heading, why = config.title or config.heading(), error_in(plugin.name, error)
            written.append(_not_drawn(name, kind.name, heading, why))
    return written


def _not_here(frames: StudyFrames, kind: str) -> Figure:
    """A figure of a plugin that is not in use."""
    named = ", ".join(frames.study.plugins) or "no file that the study names"
    why = f"kind {kind} comes from a plugin ({named}); asyrp-sweep report --plugin FILE draws it"
    return _not_drawn(kind, kind, kind, why)


def _not_drawn(name: str, kind: str, heading: str, why: str) -> Figure:
    return {
        "name": name,
        "kind": kind,
        "heading": heading,
        "caption": f"Not drawn: {why}.",
        "picture": None,
        "table": None,
    }


def _asked(frames: StudyFrames) -> list[dict[str, Any]]:
    """The figures of the space, and a matched comparison where they show distances without one.

    A distance from the original is smallest where nothing is done.
    """
    asked = [dict(options) for options in frames.study.figures or DEFAULT_FIGURES]
    kinds = {options["kind"] for options in asked}
    along = swept()
    swept_values = pd.Series(dtype="float64") if along is None else frames.evaluations[along.name].dropna()
    has_sweep = along is not None and swept_values[swept_values >= along.start].nunique() > 1
    if (
        "matched" not in kinds
        and {"table", "line", "subgroups"} & kinds
        and has_sweep
        and len(frames.cells) > 1
    ):
        asked.append({"kind": "matched"})
    if "trade_off" not in kinds and len(frames.search_results.get("objectives", [])) > 1:
        asked.append({"kind": "trade_off"})
    if "scorecard" not in kinds and any(claim.get("published") for claim in frames.study.claims):
        asked.append({"kind": "scorecard"})
    return asked


def _write_figure(
    frames: StudyFrames, out: Path, kind: FigureKind, config: FigureConfig, name: str
) -> Figure:
    computed = kind.compute(frames, config)
    stem = out / name
    for_csv(_without_pictures(computed)).to_csv(
        stem.with_name(f"{name}.csv"), index=False, float_format="%.7g"
    )
    data_uri = None
    if kind.draw is not None:
        png, svg = style.save_figure(_drawn(kind.draw, computed, config), stem)
        is_vector = kind.vector and svg.stat().st_size <= MAX_VECTOR
        data_uri = _data_uri(svg, "image/svg+xml") if is_vector else _data_uri(png, "image/png")
    caption = kind.caption(computed, config)
    table = None
    if kind.text is not None and not computed.empty:
        table = kind.text(computed, config)
        write_table(table, caption, stem)
    return {
        "name": name,
        "kind": kind.name,
        "heading": config.title or config.heading(),
        "caption": caption,
        "picture": data_uri,
        "table": None if table is None else table_of(table),
    }


def _drawn(
    draw: Callable[[pd.DataFrame, Any], "Drawing"], computed: pd.DataFrame, config: FigureConfig
) -> "Drawing":
    """The figure, or one that says that it would be too large; its numbers are in the CSV."""
    try:
        return draw(computed, config)
    except style.TooLarge as error:
        with style.styled():
            return style.nothing_to_draw(f"{error}; the numbers are in the CSV")


def _without_pictures(computed: pd.DataFrame) -> pd.DataFrame:
    return computed.drop(columns=[column for column in ("png",) if column in computed])


def _data_uri(path: Path, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"
