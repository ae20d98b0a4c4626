"""What a study's page shows, as data: the one contract between Python, report.html and the dashboard.

`payload.study_page` makes it, as JSON-able dictionaries; the modules under `static/` draw it. Texts are final (rounded,
with units); numbers that are drawn, sorted or filtered are numbers. `None` stands for what was not measured. Lists that
belong together (such as `seeds` and `differences`) have the same length.
"""

from typing import Literal, NotRequired, TypedDict

Number = float | None
Scalar = str | int | float | bool | None


class Look(TypedDict):
    """How a cell is drawn wherever it appears."""

    light: str
    """Colour on a light page, `#rrggbb`."""
    dark: str
    """Colour on a dark page."""
    dash: list[float]
    """Lengths of dashes and gaps in line widths; empty for a full line."""


class Cell(TypedDict):
    """A cell of the plan. Everywhere else a cell is its index in `StudyPage.cells`."""

    name: str
    label: str
    is_baseline: bool
    num_trials: int
    look: Look


class Metric(TypedDict):
    """The primary metric and how it is judged."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    description: str
    margin: float
    alpha: float


class Table(TypedDict):
    """A table of texts."""

    titles: list[str]
    rows: list[list[str]]
    bold: list[list[int]]
    """(row, column) of entries in bold."""
    num_text_columns: int
    """Columns from the left that hold words; the others hold numbers."""


class Header(TypedDict):
    """What stands above everything."""

    study: str
    question: str
    published: list[list[str]]
    """(name, value) pairs, such as figure and number, of what was published on it."""
    terms: str
    """The metric, what is compared with what, and the margin, in a sentence."""
    progress: str
    """`23 of 24 trials done, 1 failed.`"""
    counts: dict[str, int]
    """Status -> trials; `missing` are not run."""
    num_trials: int
    cost: str
    """Time spent so far, in a sentence."""
    plan_changes: list[str]
    last_finished: str
    """When the last trial ended, UTC; empty before that."""


Verdict = Literal["helps", "hurts", "equivalent", "undecided"]


class Effect(TypedDict):
    """A contrast: a cell against what it is compared with, paired by seed; positive is better."""

    cell: int
    verdict: Verdict
    """`undecided` while planned seeds are still to run."""
    word: str
    """The verdict as it is said, with the margin: `running` while it forms, `estimate` where there can be none yet."""
    sentence: str
    """The verdict in a sentence, as the terminal says it."""
    numbers: str
    """Difference and interval as text."""
    mean: Number
    low: Number
    high: Number
    level: float
    """Confidence level of the interval."""
    n: int
    """Complete pairs."""
    num_planned: int
    """Pairs that there will be once every planned seed has run."""
    seeds: list[int]
    differences: list[float]
    seeds_to_decide: str
    """How many seeds would decide it, in a sentence; empty once it is decided."""


class Effects(TypedDict):
    """The contrasts of the primary metric."""

    effects: list[Effect]
    margin: float
    error_rate: str
    """The noise floor where there is a placebo; what of alpha the planned looks may spend, and what is left."""
    axis: str
    """What the difference is a difference of."""
    caption: str
    table: Table


class Claim(TypedDict):
    """A published or expected statement, judged."""

    verdict: str
    """supported, contradicted or undecided."""
    text: str
    source: str
    note: str
    """What else is known of it; often empty."""
    numbers: str


class Packed(TypedDict):
    """Numbers in 16 bits each: `low + code / 65534 * (high - low)`, of their logarithms where `is_log`."""

    low: float
    high: float
    is_log: bool
    codes: str
    """Base64 of little-endian unsigned 16-bit integers; 65535 stands for no number."""


class SeedLine(TypedDict):
    """A column of the curves of one trial, thinned so that the lowest and highest point of every stretch are kept."""

    trial: int
    """Index of a row of `Trials`."""
    column: int
    grid: int
    """Index of `Curves.grids`: where its points are."""
    y: Packed


class MeanLine(TypedDict):
    """The mean of a cell's seeds, smoothed as in the figures, with its t interval; for cells with two seeds or more."""

    cell: int
    column: int
    grid: int
    n: int
    y: Packed
    low: Packed
    high: Packed


class CurveColumn(TypedDict):
    """A column of the curves."""

    name: str
    label: str


class Curves(TypedDict):
    """Training curves."""

    x: CurveColumn
    columns: list[CurveColumn]
    """The one to show first comes first."""
    grids: list[list[float]]
    seeds: list[SeedLine]
    means: list[MeanLine]
    caption: str
    num_rows: int
    """Rows of the ledger that these lines stand for."""


class Sample(TypedDict):
    """Something that a trial made of an item, such as a picture."""

    trial: int
    kind: int
    """Index of `Samples.kinds`."""
    item: int
    """Index of `Samples.items`."""
    at: list[int]
    """For every coordinate, the index of its value; -1 where it has none."""
    content: int
    """Index of `Samples.contents`."""


class Content(TypedDict):
    """What is shown of a sample; equal contents are stored once."""

    media: Literal["picture", "text", "table", "file"]
    source: NotRequired[str]
    """Of a picture or file: its address, a `data:` URI in report.html."""
    text: NotRequired[str]
    table: NotRequired[list[list[str]]]
    """Of a table: its rows, the titles first."""
    name: NotRequired[str]
    """Of a file: what it is to be called when it is saved."""


class SampleKind(TypedDict):
    """What a sample is of its item."""

    name: str
    label: str
    is_shared: bool
    """Whether all cells have the same one: then it is shown once, beside the others."""


class Coordinate(TypedDict):
    """Something that samples of one trial and item differ in, such as the epoch: a slider."""

    name: str
    label: str
    values: list[Scalar]
    labels: list[str]
    start: int
    """Where its slider stands at first."""


class Samples(TypedDict):
    """Samples of held-out items."""

    kinds: list[SampleKind]
    items: list[str]
    coordinates: list[Coordinate]
    samples: list[Sample]
    contents: list[Content]
    num_left_out: int
    """Samples that the page has no room for; they are in the ledger."""


Group = Literal["identity", "setting", "metric", "cost"]


class Column(TypedDict):
    """A column of the table of trials, and an axis of the parallel coordinates (but for `identity`)."""

    name: str
    label: str
    group: Group
    is_number: bool
    is_log: bool
    """Whether it is drawn on a logarithmic axis."""
    is_constant: bool
    order: list[Scalar]
    """Of words: all their values, in the order of the space."""
    values: list[Scalar]
    """A value per trial."""


class Trials(TypedDict):
    """Every planned trial, in the plan's order. Elsewhere a trial is its index here."""

    cells: list[int]
    seeds: list[int]
    signatures: list[str]
    statuses: list[str]
    reasons: list[str]
    columns: list[Column]
    configs: list[int]
    """For each trial, the index of `changes`; -1 where it has not run."""
    base: dict[str, Scalar]
    """Settings of the baseline (or the first cell), by their dotted names."""
    changes: list[dict[str, Scalar]]
    """Settings that differ from `base`."""
    log_ends: list[str]
    """The last lines of each trial's log; empty where there is none, or where only those of failed trials fit."""
    log_files: list[str]
    """Paths within the study's folder; empty where there is no such file."""
    model_files: list[str]


class Failure(TypedDict):
    """A trial that has no result though it ran, or cannot run."""

    trial: int
    status: str
    reason: str


class Figure(TypedDict):
    """A figure that the space asks for, as written beside the report."""

    name: str
    kind: str
    heading: str
    caption: str
    picture: str | None
    """Its address; None for tables."""
    table: Table | None


class Search(TypedDict):
    """Of a search: how trials came about, and the best ones."""

    sentence: str
    table: Table


class StudyPage(TypedDict):
    """Everything that the page of a study shows."""

    version: int
    """Raised when a reader of an earlier one would go wrong."""
    header: Header
    metric: Metric
    reference: str
    """What the cells are compared with."""
    cells: list[Cell]
    effects: Effects
    search: Search | None
    claims: list[Claim]
    failures: list[Failure]
    curves: Curves
    samples: Samples
    trials: Trials
    figures: list[Figure]
    fairness: Table
    tuning: list[str]
    """Settings of single cells that are not the baseline's."""
    costs: Table
    warnings: list[str]
    methods: str
    provenance: list[list[str]]


VERSION = 1
