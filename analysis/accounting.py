"""What a study cost and what happened on the way: effort per cell, hours per answer, failures, warnings, origins."""

import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from analysis.comparability import image_set_warnings
from analysis.contrasts import Judgement
from analysis.forming import word
from analysis.frames import MISSING, STOPPED, StudyFrames
from analysis.labels import known_metrics, metric_info, plural, shown_with_costs, value_label
from analysis.placebo import placebo_warnings
from orchestrator.ledger.comparisons import contrast_pairs
from trainables.wording import duration

Json = Mapping[str, Any]


def fairness(frames: StudyFrames) -> pd.DataFrame:
    """Per cell, what it cost: parameters, epochs, optimizer steps, wall seconds, and what its family adds.

    Means over finished trials; NaN where none has finished.
    """
    done = frames.trials[frames.trials["status"] == "done"]
    columns = {
        "parameters": "num_parameters",
        "epochs": "epochs",
        "optimizer steps": "optimizer_steps",
        "wall seconds": "wall_seconds",
        **{heading: f"metric_{metric}" for metric, heading in shown_with_costs().items()},
    }
    present = {
        title: column for title, column in columns.items() if column in done and done[column].notna().any()
    }
    means = done.groupby("cell", observed=False)[list(present.values())].mean()
    means.columns = pd.Index(list(present))
    means.insert(0, "label", [frames.cell_label(cell) for cell in means.index])
    return means.reset_index()


def tuning_effort(frames: StudyFrames) -> list[str]:
    """Per cell, the training settings that are not the baseline's: who got settings of its own."""
    done = frames.trials[frames.trials["config"].notna()].drop_duplicates("cell")
    found = {str(cell): json.loads(text) for cell, text in zip(done["cell"], done["config"], strict=True)}
    base = found.get(frames.baseline or "")
    if base is None:
        return []
    lines = []
    for cell in frames.cells:
        apart = _apart(found.get(cell, base).get("training") or {}, base.get("training") or {})
        if apart:
            lines.append(f"{frames.cell_label(cell)}: {', '.join(apart)}.")
    return lines


def answer_costs(frames: StudyFrames, judgement: Judgement) -> list[list[str]]:
    """Rows (answer, verdict, seeds, trials, CPU time, GPU time): what each contrast took, failures included.

    Times are wall time of trials on each kind of device. Trials of a cell that others are compared with serve all of
    those contrasts, and have a row of their own; the last row is the whole study.
    """
    baseline = [] if frames.baseline is None else [frames.baseline]
    references = dict.fromkeys([reference for _, reference in contrast_pairs(frames.study)] or baseline)
    own = [_cost(frames, cell, "baseline" if cell == frames.baseline else "reference") for cell in references]
    for contrast in judgement.contrasts:
        own.append(_cost(frames, contrast.name, word(frames, judgement, contrast)))
    ran = frames.trials[frames.trials["wall_seconds"].notna()]
    total = ["in all", "", str(ran["seed"].nunique()), str(len(ran)), *_times(ran)]
    return [*own, total]


def cost_sentence(frames: StudyFrames) -> str:
    """`Spent so far: 7 min on CPU in 10 trials.`"""
    ran = frames.trials[frames.trials["wall_seconds"].notna()]
    times = [
        f"{spent} on {kind}" for spent, kind in zip(_times(ran), ("CPU", "GPU"), strict=True) if spent != "–"
    ]
    return f"Spent so far: {' and '.join(times)} in {plural(len(ran), 'trial')}." if times else ""


COST_TITLES = ["answer", "verdict", "seeds", "trials", "CPU time", "GPU time"]


def plan_changes(frames: StudyFrames) -> list[str]:
    """What was decided before running, if it was decided again later; empty where it was not."""
    history = frames.study.plan_hashes
    if len(history) < 2:
        return []
    finished = pd.to_datetime(frames.trials["finished_at"].dropna(), utc=True)
    lines = []
    for before, after in pairwise(history):
        since = pd.Timestamp(after["since"])
        done = plural(int((finished < since).sum()), "trial")
        lines.append(
            f"The plan changed after the first launch: {before['hash']} became {after['hash']} on "
            f"{since:%Y-%m-%d %H:%M} UTC, when {done} of the present plan had finished. Metric, margin, axes and "
            "claims count as fixed before running only for what ran later."
        )
    return lines


def unfinished(frames: StudyFrames) -> pd.DataFrame:
    """Trials that are not done, with their reasons: cell, label, seed, signature, status, reason."""
    rest = frames.trials[frames.trials["status"] != "done"]
    rest = rest[["cell", "seed", "signature", "status", "reason"]].sort_values(["cell", "seed"])
    return rest.assign(label=[frames.cell_label(cell) for cell in rest["cell"]]).reset_index(drop=True)


def _cautions(frames: StudyFrames) -> list[str]:
    """What a reader of verdicts by the primary metric should know."""
    if frames.primary_metric not in known_metrics():
        return []
    info = metric_info(frames.primary_metric)
    return [f"{info.label} {info.caution}."] if info.caution else []


def warnings(frames: StudyFrames) -> list[str]:
    """Changes of the plan, notes of trials (each once, with its cells), damaged files, and what is left out."""
    lines = [
        *plan_changes(frames),
        *_cautions(frames),
        *placebo_warnings(frames),
        *_notes(frames),
        *image_set_warnings(frames),
    ]
    lines += [
        f"Damaged: {name}. Its trials count as not run until a launch runs them." for name in frames.damaged
    ]
    lines += [*_other_code(frames), *_other_versions(frames)]
    if frames.num_removed_seeds:
        those = plural(frames.num_removed_seeds, "trial")
        lines.append(
            f"The ledger keeps {those} of seeds that are no longer in the space; they enter nothing here."
        )
    elsewhere = frames.num_unplanned - frames.num_removed_seeds
    if elsewhere:
        those = plural(elsewhere, "trial")
        lines.append(
            f"The ledger holds {those} of cells that are no longer in the space; they enter nothing here."
        )
    stopped = int(frames.trials["is_stopped"].sum())
    if stopped:
        lines.append(f"{plural(stopped, 'trial')} stopped early: counted, and in no mean and no contrast.")
    devices = sorted(map(str, frames.trials["device"].dropna().unique()))
    if len(devices) > 1:
        lines.append(f"Trials ran on different devices: {', '.join(devices)}.")
    return lines


def _other_code(frames: StudyFrames) -> list[str]:
    """What became of trials that other source code has made."""
    if not frames.of_other_code:
        return []
    own = frames.trials[frames.trials["signature"].isin(frames.of_other_code)]
    cells = ", ".join(frames.cell_label(str(cell)) for cell in own["cell"].unique())
    those = f"{plural(len(own), 'trial')} of {cells}, made by other source code than the plan's"
    if not frames.study.reuses_changed_code:
        return [f"Left out until a launch runs them again: {those}."]
    return [f"Reused as --reuse-changed-code asked: {those}. A difference may be that of the code."]


def _other_versions(frames: StudyFrames) -> list[str]:
    """Packages that finished trials had in several versions."""
    done = frames.trials.loc[frames.trials["status"] == "done", "provenance"].dropna()
    counts: dict[str, Counter[str]] = {}
    for entry in done:
        for package, version in (json.loads(entry).get("versions") or {}).items():
            counts.setdefault(package, Counter())[str(version)] += 1
    several = [
        f"{package} {', '.join(f'{version} ({number})' for version, number in sorted(found.items()))}"
        for package, found in counts.items()
        if len(found) > 1
    ]
    return [f"Trials ran with different versions: {'; '.join(several)}."] if several else []


def provenance(frames: StudyFrames) -> list[tuple[str, str]]:
    """Where the numbers come from: plan hash, and every recorded value of code, versions and hosts."""
    found: dict[str, Counter[str]] = {}
    for entry in frames.trials["provenance"].dropna():
        for name, value in _flat(json.loads(entry)):
            found.setdefault(name, Counter())[value] += 1
    rows = [("study", frames.study.name), ("plan hash", frames.study.plan_hash)]
    rows += [
        ("earlier plan hash", f"{entry['hash']}, from {entry['since']}")
        for entry in frames.study.plan_hashes[:-1]
    ]
    rows += [(f"published {name}", value) for name, value in frames.published.items()]
    rows += [(f"set {path}", value_label(value)) for path, value in frames.study.settings.items()]
    ran = frames.trials[frames.trials["finished_at"].notna()]
    if len(ran):
        rows.append(("source code", ", ".join(sorted(ran["code"].fillna("unknown").unique()))))
    if last := last_finished(frames):
        rows.append(("last trial finished", last))
    return rows + [(_in_words(name), ", ".join(values)) for name, values in found.items()]


def _in_words(name: str) -> str:
    """What a recorded value is called: `version of torch`."""
    group, _, rest = name.partition(".")
    return f"version of {rest}" if group == "versions" else _RECORDED.get(name, name.replace("_", " "))


_RECORDED = {
    "hardware.cpu": "processor",
    "hardware.cpus": "processor cores",
    "hardware.memory_bytes": "memory in bytes",
    "hardware.allotted": "share of the machine",
    "hardware.allotted.cpus": "cores of a trial",
    "hardware.allotted.gpus": "GPUs of a trial",
}


def last_finished(frames: StudyFrames) -> str:
    """When the last trial ended, `2026-03-01 12:00 UTC`; empty before the first."""
    finished = frames.trials["finished_at"].dropna()
    return f"{finished.max():%Y-%m-%d %H:%M} UTC" if len(finished) else ""


def progress_sentence(frames: StudyFrames) -> str:
    """`23 of 24 trials done, 1 failed.`"""
    counts = Counter(frames.trials["status"])
    total = len(frames.trials)
    words = dict.fromkeys(STOPPED, "stopped early") | {
        "failed": "failed",
        "skipped": "skipped",
        "interrupted": "interrupted",
        MISSING: "not run",
    }
    rest = [f"{counts[status]} {word}" for status, word in words.items() if counts[status]]
    return ", ".join([f"{counts['done']} of {plural(total, 'trial')} done", *rest]) + "."


def _notes(frames: StudyFrames) -> list[str]:
    """Every note that trials left, with the cells that it is about and how many trials said it."""
    cells: dict[str, Counter[str]] = {}
    for cell, entry in zip(frames.trials["cell"], frames.trials["notes"], strict=True):
        for note in entry if _is_listed(entry) else ():
            cells.setdefault(note, Counter())[str(cell)] += 1
    lines = []
    for note, counts in sorted(cells.items(), key=lambda item: -item[1].total()):
        everywhere = len(counts) == len(frames.cells) and len(counts) > 1
        whose = "" if everywhere else f"{', '.join(frames.cell_label(cell) for cell in counts)}: "
        lines.append(f"{whose}{note} ({plural(counts.total(), 'trial')})")
    return lines


def _cost(frames: StudyFrames, cell: str, verdict: str) -> list[str]:
    ran = (frames.trials["cell"] == cell) & frames.trials["wall_seconds"].notna()
    own = frames.trials.loc[ran, ["seed", "device", "wall_seconds"]]
    return [frames.cell_label(cell), verdict, str(own["seed"].nunique()), str(len(own)), *_times(own)]


def _times(trials: pd.DataFrame) -> list[str]:
    """Wall time on CPUs and on GPUs."""
    is_cpu = trials["device"].astype("str").str.startswith("cpu")
    spent = [float(trials.loc[chosen, "wall_seconds"].sum()) for chosen in (is_cpu, ~is_cpu)]
    return [duration(seconds) if seconds else "–" for seconds in spent]


def _apart(own: Json, base: Json, prefix: str = "") -> list[str]:
    """`learning rate 0.001 (baseline 0.0005)` for every setting that differs."""
    lines: list[str] = []
    for name in dict.fromkeys([*base, *own]):
        mine, its = own.get(name), base.get(name)
        if isinstance(mine, Mapping) and isinstance(its, Mapping):
            lines += _apart(mine, its, f"{prefix}{name} ")
        elif mine != its:
            lines.append(
                f"{(prefix + name).replace('_', ' ')} {value_label(mine)} (baseline {value_label(its)})"
            )
    return lines


def _flat(content: Json, prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        nested = isinstance(value, Mapping)
        rows += (
            _flat(value, f"{prefix}{name}.")
            if nested
            else [(prefix + name, "unknown" if value is None else str(value))]
        )
    return rows


def _is_listed(entry: object) -> bool:
    return hasattr(entry, "__len__") and not isinstance(entry, str)
