"""Verdicts over results that were measured elsewhere, and how they show themselves."""

import json
import math
import textwrap
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from analysis.contrasts import Judgement, verdict_sentence
from analysis.documents import plain
from analysis.escaping import for_csv
from analysis.escaping import markdown as escaped
from analysis.figures import effects
from analysis.figures._text import TextTable, markdown, write_table
from analysis.frames import StudyFrames
from analysis.labels import number, use_words
from analysis.outside.pairing import (
    Comparison,
    Table,
    baseline_mean,
    compare,
    names_of,
    relative_margin,
    table_of,
)
from analysis.outside.question import Question
from analysis.outside.rows import Rows
from analysis.report_tables import EFFECT_TITLES, effect_rows, printed_contrasts
from analysis.stats import Contrast, judge
from analysis.stats.spending import Spending
from orchestrator.ledger import StudyCell, StudyPlan
from trainables.names import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table as RichTable

WIDTH = 80
SCHEMA_VERSION = 1
"""Of `as_json`."""
_Result = TypeVar("_Result")


class _Frames(StudyFrames):
    """What the tables and figures of a study ask for; variants are called as in their file."""

    def cell_label(self, cell: str) -> str:
        return cell


@dataclass(frozen=True)
class Verdicts:
    """What was decided about results that were measured elsewhere."""

    question: Question
    contrasts: list[Contrast]
    """One per variant other than the baseline, in the order of the rows; judged together, as those of a study."""
    comparisons: list[Comparison]
    """How many pairs, seeds and items are behind each."""
    margin: float
    """In the metric's unit."""
    baseline_mean: float
    num_rows: int
    _frames: StudyFrames
    _context: Context

    @property
    def sentences(self) -> list[str]:
        """The verdict on each variant."""
        return [self._within(partial(verdict_sentence, self._frames, one)) for one in self.contrasts]

    @property
    def heading(self) -> str:
        """What is compared with what, by what."""
        question = self.question
        better = "higher is better" if question.higher_is_better else "lower is better"
        share = abs(100 * self.margin / self.baseline_mean) if self.baseline_mean else math.nan
        of_mean = (
            f", {share:.2g} % of the baseline's mean {number(self.baseline_mean)}" if share == share else ""
        )
        return (
            f"{question.metric} against {question.baseline} ({better}; margin {self.margin:.6g}{of_mean}; "
            "positive is an improvement)"
        )

    @property
    def population(self) -> str:
        """What the verdicts speak for, and what they are silent on."""
        lost = sum(one.num_missing for one in self.comparisons)
        return self._population + (f" Rows without a partner, left out: {lost:,}." if lost else "")

    @property
    def _population(self) -> str:
        first = self.comparisons[0]
        counts = {
            "pairs": [one.num_pairs for one in self.comparisons],
            "seeds": [one.num_seeds for one in self.comparisons],
            "items": [one.num_items for one in self.comparisons],
            "clusters": [one.num_clusters for one in self.comparisons],
        }
        shown = {
            name: f"{min(own):,}" if min(own) == max(own) else f"{min(own):,} to {max(own):,}"
            for name, own in counts.items()
        }
        question = self.question
        items = f"{shown['items']} items"
        if question.cluster is not None:
            items += f" in {shown['clusters']} clusters"
        if first.over == "seeds":
            known = f", each a mean over {items}" if question.item is not None else ""
            fixed = " The items count as fixed." if question.item is not None else ""
            return f"Speaks for new seeds: {shown['seeds']} seeds{known}.{fixed}"
        if first.over == "items":
            seeds = "one seed" if max(counts["seeds"]) <= 1 else f"the mean of {shown['seeds']} seeds"
            return (
                f"Speaks for new items like these: {items}, {seeds}. It does not speak for new training runs: another "
                "seed may give another verdict."
            )
        if all(one.num_pairs == one.num_items for one in self.comparisons):
            return f"Speaks for new seeds and new items: {shown['seeds']} seeds, each with items of its own ({items})."
        return (
            f"Speaks for new seeds and new items: {shown['seeds']} seeds and {items}, {shown['pairs']} pairs. Its "
            f"replicates are the {first.sample.unit}s, the scarcer of the two; their spread is widened by that over "
            "the other."
        )

    def lines(self, width: int = WIDTH) -> list[str]:
        """For a terminal: what was asked, what it speaks for, and a sentence per variant."""
        lines = [*textwrap.wrap(self.heading, width), *textwrap.wrap(self.population, width)]
        for sentence in self.sentences:
            lines += textwrap.wrap(sentence, width, initial_indent="  ", subsequent_indent="      ")
        return [visible(line) for line in lines]

    def markdown(self) -> str:
        """Every number of every contrast as a pipe table, under what was asked."""
        rows = self._within(lambda: effect_rows(self._frames, self._judgement))
        table = TextTable(EFFECT_TITLES, rows, 2)
        return f"{escaped(self.heading)}\n\n{escaped(self.population)}\n\n{markdown(table)}"

    def frame(self) -> pd.DataFrame:
        """A row per variant with everything known of it, as numbers."""
        return pd.DataFrame(self.as_json()["contrasts"])

    def csv(self) -> str:
        """`frame` as CSV."""
        return str(for_csv(self.frame()).to_csv(index=False, lineterminator="\n"))

    def as_json(self) -> dict[str, Any]:
        """A document of plain values; numbers that do not exist are null."""
        return {
            "schema_version": SCHEMA_VERSION,
            "question": plain(self.question),
            "heading": self.heading,
            "population": self.population,
            "margin": self.margin,
            "baseline_mean": plain(self.baseline_mean),
            "num_rows": self.num_rows,
            "contrasts": [
                _document(contrast, comparison)
                for contrast, comparison in zip(self.contrasts, self.comparisons, strict=True)
            ],
        }

    def figure(self) -> "Figure":
        """The forest plot of the effects."""
        return self._within(lambda: effects.draw(self._effects(), effects.Config(kind="effects")))

    def write(self, out: Path) -> list[Path]:
        """Write the forest plot (png, svg, csv), tables (md, tex, csv) and verdicts.json into a folder."""
        from analysis import style

        out.mkdir(parents=True, exist_ok=True)
        texts = {
            "effects.csv": str(for_csv(self._effects()).to_csv(index=False, lineterminator="\n")),
            "effects.md": self.markdown(),
            "verdicts.csv": self.csv(),
            "verdicts.json": json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n",
        }
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
        printed = self._within(lambda: printed_contrasts(self._frames, self._judgement))
        tables = write_table(printed, f"{self.heading}. {self.population}", out / "contrasts")
        try:
            pictures = style.save_figure(self.figure(), out / "effects")
        except style.TooLarge:
            pictures = []  # The numbers are in the CSV.
        return [*(out / name for name in texts), *tables, *pictures]

    # How it shows itself

    @property
    def _judgement(self) -> Judgement:
        count, alpha = len(self.contrasts), self.question.alpha
        spent = Spending(
            alpha, looks={}, shares=[alpha], saw_seeds_first=False, left=0.0, num_comparisons=count
        )
        return Judgement(self.contrasts, [], count, spent)

    def _effects(self) -> pd.DataFrame:
        return self._within(lambda: effects.contrast_rows(self._frames, self._judgement))

    def _within(self, show: Callable[[], _Result]) -> _Result:
        """Where the metric is the one of these results, whatever study was read since."""
        return self._context.copy().run(show)

    def _printed(self) -> TextTable:
        return self._within(lambda: printed_contrasts(self._frames, self._judgement))

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def __rich__(self) -> "RichTable":
        from rich.table import Table as RichTable
        from rich.text import Text

        printed = self._printed()
        table = RichTable(
            *printed.titles, title=Text(visible(self.heading)), caption=Text(visible(self.population))
        )
        for row in printed.rows:
            table.add_row(*(Text(visible(entry)) for entry in row))
        return table

    def _repr_html_(self) -> str:
        printed = self._printed()
        head = "".join(f"<th>{escape(title)}</th>" for title in printed.titles)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(visible(entry))}</td>' for entry in row)}</tr>"
            for row in printed.rows
        )
        caption = escape(visible(f"{self.heading}. {self.population}"))
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{rows}</table>"


def judge_rows(rows: Rows, question: Question) -> Verdicts:
    """Judge every variant against the baseline, as one family. Raises UserError for rows that cannot be judged."""
    table = table_of(rows, question)
    margin = relative_margin(table, question)
    comparisons = [
        compare(table, question, name) for name in names_of(table.variants.names, question.baseline)
    ]
    contrasts = judge([one.sample for one in comparisons], margin=margin, alpha=question.alpha)
    context = copy_context()
    context.run(use_words, {"metrics": {question.metric: _metric(question)}, "coordinates": ()}, "")
    frames = _frames(table, question, margin)
    return Verdicts(
        question,
        contrasts,
        comparisons,
        margin,
        baseline_mean(table, question),
        len(table.rows),
        frames,
        context,
    )


def _metric(question: Question) -> dict[str, Any]:
    return {
        "label": question.metric,
        "unit": "",
        "higher_is_better": question.higher_is_better,
        "description": "",
    }


def _frames(table: Table, question: Question, margin: float) -> StudyFrames:
    """A study's frames without a trial: its variants as cells, for the tables and figures of a study."""
    names = (question.baseline, *names_of(table.variants.names, question.baseline))
    cells = tuple(
        StudyCell(
            cell=name, axis_values={question.variant: name}, is_baseline=name == question.baseline, trials=()
        )
        for name in names
    )
    study = StudyPlan(
        schema_version=1,
        name=table.rows.source,
        question="",
        axes={question.variant: names},
        primary={"metric": question.metric, "margin": margin, "alpha": question.alpha},
        plan_hash="",
        space_file_text="",
        cells=cells,
    )
    empty = pd.DataFrame()
    return _Frames(study, empty, empty, empty, empty)


def _document(contrast: Contrast, comparison: Comparison) -> dict[str, Any]:
    """Everything known of a contrast but its single differences."""
    sample, interval = contrast.sample, contrast.interval
    document: dict[str, Any] = plain(
        {
            "variant": contrast.name,
            "verdict": contrast.verdict,
            "words": contrast.words,
            "is_estimate": contrast.is_estimate,
            "difference": contrast.mean,
            "low": interval.low,
            "high": interval.high,
            "level": interval.level,
            "speaks_for": comparison.over,
            "replicates": contrast.n,
            "unit": sample.unit,
            "num_pairs": comparison.num_pairs,
            "num_seeds": comparison.num_seeds,
            "num_items": comparison.num_items,
            "num_clusters": comparison.num_clusters,
            "num_failed": contrast.num_failed,
            "num_missing": comparison.num_missing,
            "p_holm": contrast.p_holm,
            "sign_flip_p": contrast.p,
            "tost_p_holm": contrast.tost_p_holm,
            "share_better": contrast.probability_of_improvement,
            "to_decide": contrast.seeds_needed,
            "to_decide_low": None if contrast.seeds_range is None else contrast.seeds_range.low,
            "to_decide_high": None if contrast.seeds_range is None else contrast.seeds_range.high,
        }
    )
    return document
