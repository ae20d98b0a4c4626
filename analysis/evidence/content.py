"""What a bundle holds of a study: the plan, the rows that its verdicts follow from, and all that follows from these."""

import json
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.accounting import progress_sentence
from analysis.claims import ClaimResult
from analysis.contrasts import Judgement, judge_study
from analysis.documents import plain
from analysis.escaping import markdown
from analysis.evidence.bundle import json_bytes, sha256
from analysis.forming import sentence, word
from analysis.frames import StudyFrames, frames_of
from analysis.labels import (
    EPOCH,
    known_curves,
    known_metrics,
    metric_info,
    places,
    use_study,
    use_words,
    words_in_use,
    x_labels,
)
from analysis.measurements import WEIGHT
from analysis.report_tables import claim_row
from analysis.stats import Contrast
from orchestrator.ledger import Ledger, StudyPlan, read_study
from orchestrator.ledger.schemas import empty
from orchestrator.ledger.study import STUDY_FILE
from trainables.errors import UserError

ROWS = ("trials", "curves", "evaluations")
"""Tables in a bundle, each as `<name>.parquet`."""
_PLACES = ("signature", "attempt", "image_id")
_OF_SETS = ("subgroup", "num_images", "feature_extractor", "image_set")
_PRIVATE = ("host", "process")
"""What provenance says of a machine and not of a number."""
_PACKAGES = ("asyrp-sweep", "numpy", "pandas", "scipy")
"""What decides how verdicts are computed."""


@dataclass(frozen=True)
class Given:
    """What a bundle's verdicts are computed from."""

    study: bytes
    """`study.json` as it is in the study's folder."""
    origin: Mapping[str, Any]
    """What judged it, its metrics, and digests of the rows that are not in the bundle."""
    tables: Mapping[str, pa.Table]
    """`trials`, `curves` by epoch, and `evaluations` of the judged metrics."""

    def files(self) -> dict[str, bytes]:
        """As in a bundle."""
        tables = {f"{name}.parquet": _parquet(table) for name, table in self.tables.items()}
        return {STUDY_FILE: self.study, "origin.json": json_bytes(self.origin), **tables}


def judged_by() -> dict[str, str]:
    """Releases of what computes verdicts here."""
    return {name: metadata.version(name) for name in _PACKAGES}


def given_of_study(folder: Path) -> Given:
    """What the verdicts of a study rest on. Raises LedgerError without a study, UserError for a search."""
    study = read_study(folder)
    if study.is_search:
        raise UserError(f"{folder} is a search, which compares nothing; export the study of its retest")
    use_study(study)
    ledger = Ledger(folder / "ledger")
    ledger.prefer(study.codes)
    planned = pa.array([trial.signature for cell in study.cells for trial in cell.trials], pa.string())
    whole = {name: _of(ledger.table(name), planned) for name in (*ROWS, "samples")}
    origin = {
        "judged_by": judged_by(),
        **words_in_use(),
        "damaged": list(ledger.damaged),
        "ledger": _digests(whole),
    }
    tables = {
        "trials": _without_private(whole["trials"]),
        "curves": _by_epoch(whole["curves"]),
        "evaluations": _judged(whole["evaluations"], study),
    }
    return Given((folder / STUDY_FILE).read_bytes(), origin, tables)


def given_of_files(files: Mapping[str, bytes]) -> Given:
    """The same, of the files of a bundle. Raises where one is missing or cannot be read as what it is."""
    tables = {name: pq.read_table(pa.BufferReader(files[f"{name}.parquet"])) for name in ROWS}
    return Given(files[STUDY_FILE], json.loads(files["origin.json"]), tables)


def derived(given: Given) -> dict[str, bytes]:
    """Every file of a bundle that follows from what it is computed from: verdicts, code, space, and a page to read."""
    return copy_context().run(_derived, given)


def _derived(given: Given) -> dict[str, bytes]:
    study = _plan(given.study)
    use_words(given.origin, study.family)
    frames = frames_of(
        study,
        given.tables["trials"].to_pylist(),
        {name: given.tables[name].to_pandas() for name in ("curves", "evaluations")}
        | {"samples": empty("samples").to_pandas()},
        damaged=tuple(given.origin["damaged"]),
    )
    judgement = judge_study(frames)
    code = _code(given.tables["trials"])
    verdicts = {
        **_verdicts(frames, judgement),
        "rests_on": {
            STUDY_FILE: sha256(given.study),
            "origin.json": sha256(json_bytes(given.origin)),
            "trials": _digests(given.tables),
        },
    }
    return {
        "space.yaml": study.space_file_text.encode(),
        "code.json": json_bytes(code),
        "verdicts.json": json_bytes(verdicts),
        "README.md": _page(frames, judgement, plan_sentence(study, given.tables["trials"]), code).encode(),
    }


def _plan(content: bytes) -> StudyPlan:
    with TemporaryDirectory() as folder:
        Path(folder, STUDY_FILE).write_bytes(content)
        return read_study(folder)


def plan_sentence(study: StudyPlan, trials: pa.Table) -> str:
    """When the plan was fixed, beside when its trials began."""
    started = [value for value in trials.column("started_at").to_pylist() if value is not None]
    if not study.plan_hashes or not started:
        return "It is not known when the plan was fixed."
    first = min(started)
    changes = [
        entry["since"] for entry in study.plan_hashes if datetime.fromisoformat(entry["since"]) > first
    ]
    began = f"The first trial began at {first.isoformat(timespec='seconds')}"
    if not changes:
        return f"{began}; the plan was fixed at {study.plan_hashes[-1]['since']}, before any had run."
    times = "once" if len(changes) == 1 else f"{len(changes)} times"
    return f"{began}; the plan was changed {times} after that, last at {changes[-1]}."


# The verdicts as a document


def _verdicts(frames: StudyFrames, judgement: Judgement) -> dict[str, Any]:
    return {
        "study": frames.study.name,
        "plan_hash": frames.study.plan_hash,
        "metric": frames.primary_metric,
        "margin": frames.margin,
        "alpha": frames.alpha,
        "num_comparisons": judgement.num_comparisons,
        "spending": plain(judgement.spending),
        "contrasts": [
            {
                **contrast_document(one),
                "word": word(frames, judgement, one),
                "sentence": sentence(frames, judgement, one),
            }
            for one in judgement.contrasts
        ],
        "claims": [_claim_document(claim) for claim in judgement.claims],
    }


def contrast_document(contrast: Contrast) -> dict[str, Any]:
    """Everything known of a contrast, its single differences too."""
    told = {
        name: getattr(contrast, name)
        for name in (
            "n",
            "p",
            "probability_of_improvement",
            "is_estimate",
            "num_failed",
            "words",
            "seeds_range",
        )
    }
    document: dict[str, Any] = plain({**plain(contrast), **told})
    return document


def _claim_document(claim: ClaimResult) -> dict[str, Any]:
    contrast = None if claim.contrast is None else contrast_document(claim.contrast)
    document: dict[str, Any] = plain({**claim_row(claim), "contrast": contrast})
    return document


def _page(frames: StudyFrames, judgement: Judgement, plan: str, code: Sequence[Mapping[str, Any]]) -> str:
    """What is in the bundle, for whoever opens it."""
    sentences = [sentence(frames, judgement, contrast) for contrast in judgement.contrasts]
    sentences += [f"claim {claim.verdict}: {claim.text}" for claim in judgement.claims]
    info = metric_info(frames.primary_metric)
    lines = [
        f"# Evidence: {markdown(frames.study.name)}",
        markdown(frames.study.question),
        f"{markdown(info.label)} against {markdown(frames.reference_label)}, margin {frames.margin:g}, "
        f"alpha {frames.alpha:g}.",
        "\n".join(f"- {markdown(sentence)}" for sentence in sentences),
        markdown(f"{plan} {progress_sentence(frames)}"),
        "\n".join(f"- {markdown(_code_sentence(entry))}" for entry in code),
        "`asyrp-sweep check FILE` recomputes every verdict from the rows in this file. `study.json` is the plan, "
        "`trials`, `curves` and `evaluations` are the rows that verdicts follow from, `origin.json` has SHA-256 of all "
        "other rows of the study, `verdicts.json` every number of every verdict.",
    ]
    return "\n\n".join(lines) + "\n"


# Code and packages


def _code(trials: pa.Table) -> list[dict[str, Any]]:
    """Every state of code and packages that trials ran with, and how many trials."""
    counts: dict[str, int] = {}
    for text in trials.column("provenance").to_pylist():
        own = {
            name: value
            for name, value in json.loads(text or "{}").items()
            if name not in ("device", "threads")
        }
        key = json.dumps(own, sort_keys=True)
        counts[key] = counts.get(key, 0) + 1
    return [{**json.loads(key), "num_trials": count} for key, count in sorted(counts.items())]


def _code_sentence(entry: Mapping[str, Any]) -> str:
    commit = entry.get("git_commit") or "unknown"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(entry.get("versions", {}).items()))
    return f"{entry['num_trials']} trials with the code of commit {commit}" + (
        f", {versions}" if versions else ""
    )


# Rows


def _of(table: pa.Table, planned: pa.Array) -> pa.Table:
    """The rows of planned trials, by signature and otherwise in the ledger's order."""
    own = table.filter(pc.is_in(table.column("signature"), value_set=planned))
    return own.take(pc.sort_indices(own.column("signature")))  # stable


def _without_private(trials: pa.Table) -> pa.Table:
    texts = []
    for text in trials.column("provenance").to_pylist():
        told = json.loads(text or "{}")
        texts.append(json.dumps({name: told[name] for name in sorted(told) if name not in _PRIVATE}))
    index = trials.column_names.index("provenance")
    return trials.set_column(index, "provenance", pa.array(texts, pa.string()))


def _by_epoch(curves: pa.Table) -> pa.Table:
    """A row per trial and epoch: what has been counted by its end, and its mean losses."""
    keys = ["signature", "attempt", EPOCH]
    counts = [name for name in x_labels() if name != EPOCH and name in curves.column_names]
    losses = [name for name in known_curves() if name in known_metrics() and name in curves.column_names]
    frame = curves.select([*keys, *counts, *losses]).to_pandas()
    grouped = frame.groupby(keys, sort=True)
    told = grouped[counts].max().join(grouped[losses].mean()).reset_index()
    schema = pa.schema([curves.schema.field(name) for name in told.columns])
    return pa.Table.from_pandas(told, schema=schema, preserve_index=False).replace_schema_metadata()


def _judged(evaluations: pa.Table, study: StudyPlan) -> pa.Table:
    """The columns of evaluations that a verdict may use."""
    metrics = {
        str(study.primary["metric"]),
        *(claim["metric"] for claim in study.claims if claim.get("metric")),
    }
    wanted = {*_PLACES, *places(), *_OF_SETS, *metrics, *(metric + WEIGHT for metric in metrics)}
    return evaluations.select([name for name in evaluations.column_names if name in wanted])


def _digests(tables: Mapping[str, pa.Table]) -> dict[str, dict[str, str]]:
    """Signature -> table -> SHA-256 of its rows there, whatever their order; pictures count by their own digest."""
    found: dict[str, dict[str, str]] = {}
    for name, table in tables.items():
        lines: dict[str, list[str]] = {}
        for row in table.replace_schema_metadata().to_pylist():
            known = {column: _text(value) for column, value in row.items() if value is not None}
            lines.setdefault(row["signature"], []).append(json.dumps(known, sort_keys=True))
        for signature, own in lines.items():
            found.setdefault(signature, {})[name] = sha256("\n".join(sorted(own)).encode())
    return found


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return sha256(value)
    if isinstance(value, Mapping):
        return {name: _text(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_text(own) for own in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else value


def _parquet(table: pa.Table) -> bytes:
    written = pa.BufferOutputStream()
    pq.write_table(table, written, compression="zstd")
    return bytes(written.getvalue().to_pybytes())
