"""A folder that Hugging Face `datasets` loads: the four tables as Parquet, and a card."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.accounting import progress_sentence
from analysis.contrasts import judge_study
from analysis.escaping import markdown
from analysis.export._base import Options, Target
from analysis.export._trials import StudyTrials, metric_meaning, metric_title, shown_picture
from analysis.frames import MISSING, load_frames
from analysis.labels import value_label
from analysis.report import effects_markdown
from orchestrator.ledger import TABLES, StudyPlan
from orchestrator.ledger.schemas import to_arrow
from trainables.names import visible
from trainables.yaml_tree import write_yaml

_ABOUT = {
    "trials": "a row for every planned trial: settings (`axis_...`, `config`), status, metrics (`metric_...`)",
    "curves": "what done trials reported while they trained",
    "evaluations": "a row for every item that was measured",
    "samples": "what done trials left to look at: pictures in `image`, anything else as bytes in `file`",
}
_FILE = "train.parquet"


def write(study_folder: Path, out: Path, options: Options) -> Sequence[str]:
    """Write the tables, then the card."""
    study = StudyTrials(study_folder)
    planned = planned_trials(study.study)
    counts = {}
    for name in TABLES:
        table = _planned_rows(planned, study.ledger.table(name))
        if name == "trials":
            table = _with_missing(planned, table)
        elif name == "samples":
            table = _with_files(table)
        (out / name).mkdir()
        pq.write_table(table, out / name / _FILE, compression="zstd")
        counts[name] = len(table)
    (out / "README.md").write_text(visible(_card(study, counts)), encoding="utf-8")
    return [
        f'Load it with: datasets.load_dataset("{options.place}", "trials"), or one of {", ".join(counts)}'
    ]


def planned_trials(study: StudyPlan) -> pa.Table:
    """A row for every planned trial: cell, is_baseline, role, seed, signature and every axis's value in its type."""
    trials = [(cell, trial) for cell in study.cells for trial in cell.trials]
    rows = to_arrow(
        "trials",
        [
            {
                "cell": cell.cell,
                "seed": trial.seed,
                "signature": trial.signature,
                "axis_values": cell.axis_values,
            }
            for cell, trial in trials
        ],
    )
    axes = [name for name in rows.column_names if name.removeprefix("axis_") in study.axes]
    found = rows.select(["cell", "seed", "signature", *axes]).replace_schema_metadata()
    found = found.add_column(1, "is_baseline", [[cell.is_baseline for cell, _ in trials]])
    return found.add_column(2, "role", [[cell.role for cell, _ in trials]])


def _planned_rows(planned: pa.Table, table: pa.Table) -> pa.Table:
    """Rows of a table of the ledger that belong to planned trials, in the plan's order, with what the plan says."""
    place = pc.index_in(table.column("signature"), value_set=planned.column("signature"))
    table, place = table.filter(place.is_valid()), place.drop_null()
    order = pc.sort_indices(place)  # stable
    own = [
        name
        for name in table.column_names
        if name not in planned.column_names and not name.startswith("axis_")
    ]
    found = planned.take(place.take(order))
    for name in own:
        found = found.append_column(table.schema.field(name), table.column(name).take(order))
    return found.replace_schema_metadata(table.schema.metadata)


def _with_missing(planned: pa.Table, trials: pa.Table) -> pa.Table:
    """The trials, and those that have not run after them."""
    ran = pc.is_in(planned.column("signature"), value_set=trials.column("signature"))
    missing = planned.filter(pc.invert(ran))
    missing = missing.append_column("status", [[MISSING] * len(missing)])
    return pa.concat_tables([trials, missing], promote_options="default")


def _with_files(samples: pa.Table) -> pa.Table:
    """The samples with what is no picture in a column of its own: a viewer would fail on it."""
    images, files = [], []
    for image in samples.column("image").to_pylist():
        content = (image or {}).get("bytes")
        is_picture = shown_picture(content) is not None
        images.append(image if is_picture else None)
        files.append(None if is_picture else content)
    position = samples.column_names.index("image")
    kind = samples.schema.field("image")
    samples = samples.set_column(position, kind, pa.array(images, kind.type))
    return samples.append_column("file", pa.array(files, pa.binary()))


def _card(study: StudyTrials, counts: Mapping[str, int]) -> str:
    """The README of the dataset: a header that `datasets` reads, then what a reader wants to know."""
    plan, frames = study.study, load_frames(study.folder)
    header = {
        "pretty_name": plan.name,
        "tags": ["ablation", "asyrp-sweep"],
        "configs": [
            {
                "config_name": name,
                "data_files": f"{name}/{_FILE}",
                **({"default": True} if name == "trials" else {}),
            }
            for name in counts
        ],
    }
    tables = _table(
        ("config", "rows", "holds"), [(f"`{name}`", str(counts[name]), _ABOUT[name]) for name in counts]
    )
    metrics = [
        (f"`{name}`", markdown(metric_title(name)), markdown(metric_meaning(name))) for name in study.metrics
    ]
    axes = [
        (markdown(axis), markdown(", ".join(map(value_label, values)))) for axis, values in plan.axes.items()
    ]
    verdicts = "" if plan.is_search else effects_markdown(frames, judge_study(frames))
    parts = [
        f"---\n{write_yaml(header)}---\n\n# {markdown(plan.name)}",
        markdown(plan.question),
        f"{progress_sentence(frames)} Written by asyrp-sweep; family `{plan.family}`, plan `{plan.plan_hash}`.",
        *([verdicts.strip()] if verdicts else []),
        f"## Tables\n\n{tables}\n\nEvery row has `cell`, `is_baseline`, `role`, `seed`, `signature` and the values of "
        "the axes. Rows of curves, evaluations and samples are those of done trials.",
        f"## Axes\n\n{_table(('axis', 'values'), axes)}",
        f"## Metrics\n\n{_table(('metric', 'label', 'meaning'), metrics)}",
        *study.remarks(),
    ]
    return "\n\n".join(parts) + "\n"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TARGET = Target("hf", "a dataset folder for Hugging Face datasets: Parquet tables and a card", write)
