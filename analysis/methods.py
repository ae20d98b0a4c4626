"""What a reader has to know about a study besides its results, as plain text made from its records."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.contrasts import Judgement
from analysis.frames import MISSING, StudyFrames
from analysis.labels import metric_info, plural, value_label

Json = Mapping[str, Any]

_TRAINING = ("num_images", "epochs", "batch_size", "num_train_steps", "t_edit")
_EVALUATION = ("num_images", "primary_strength", "num_sample_steps")


def methods_paragraph(frames: StudyFrames, judgement: Judgement) -> str:
    """How the numbers came about: domain, training, evaluation, seeds, statistics."""
    sentences = [_training(frames), _evaluation(frames), _statistics(frames, judgement), _differences(frames)]
    return " ".join(sentence for sentence in sentences if sentence)


def fairness(frames: StudyFrames) -> pd.DataFrame:
    """Per cell, what it cost: parameters, epochs, optimizer steps, wall seconds, and how far edits went.

    Means over finished trials; NaN where none has finished.
    """
    done = frames.trials[frames.trials["status"] == "done"]
    columns = {
        "parameters": "num_parameters",
        "epochs": "epochs",
        "optimizer steps": "optimizer_steps",
        "wall seconds": "wall_seconds",
        "L1 to reconstruction": "metric_l1_distance",
    }
    present = {
        title: column for title, column in columns.items() if column in done and done[column].notna().any()
    }
    means = done.groupby("cell", observed=False)[list(present.values())].mean()
    means.columns = pd.Index(list(present))
    means.insert(0, "label", [frames.cell_label(cell) for cell in means.index])
    return means.reset_index()


def unfinished(frames: StudyFrames) -> pd.DataFrame:
    """Trials that are not done, with their reasons: cell, label, seed, signature, status, reason."""
    rest = frames.trials[frames.trials["status"] != "done"]
    rest = rest[["cell", "seed", "signature", "status", "reason"]].sort_values(["cell", "seed"])
    return rest.assign(label=[frames.cell_label(cell) for cell in rest["cell"]]).reset_index(drop=True)


def warnings(frames: StudyFrames) -> list[str]:
    """Notes of trials (each once, with its count), damaged files, and records outside the present plan."""
    notes = Counter(note for entry in frames.trials["notes"] if _is_listed(entry) for note in entry)
    lines = [f"{note} ({plural(count, 'trial')})" for note, count in notes.most_common()]
    lines += [f"Damaged and set aside: {name}. Its trial counts as not run." for name in frames.damaged]
    if frames.num_unplanned:
        those = plural(frames.num_unplanned, "trial")
        lines.append(
            f"The ledger holds {those} of cells that are no longer in the space; they enter nothing here."
        )
    devices = sorted(map(str, frames.trials["device"].dropna().unique()))
    if len(devices) > 1:
        lines.append(f"Trials ran on different devices: {', '.join(devices)}.")
    return lines


def provenance(frames: StudyFrames) -> list[tuple[str, str]]:
    """Where the numbers come from: plan hash, and every recorded value of code, versions and hosts."""
    found: dict[str, Counter[str]] = {}
    for entry in frames.trials["provenance"].dropna():
        for name, value in _flat(json.loads(entry)):
            found.setdefault(name, Counter())[value] += 1
    rows = [("study", frames.study.name), ("plan hash", frames.study.plan_hash)]
    rows += [(f"published {name}", str(value)) for name, value in frames.study.published.items()]
    rows += [(f"set {path}", value_label(value)) for path, value in frames.study.settings.items()]
    finished = frames.trials["finished_at"].dropna()
    if len(finished):
        rows.append(("last trial finished", f"{finished.max():%Y-%m-%d %H:%M} UTC"))
    return rows + [(name.replace("_", " "), ", ".join(values)) for name, values in found.items()]


def progress_sentence(frames: StudyFrames) -> str:
    """`23 of 24 trials done, 1 failed.`"""
    counts = Counter(frames.trials["status"])
    total = len(frames.trials)
    words = {"failed": "failed", "skipped": "skipped", "interrupted": "interrupted", MISSING: "not run"}
    rest = [f"{counts[status]} {word}" for status, word in words.items() if counts[status]]
    return ", ".join([f"{counts['done']} of {plural(total, 'trial')} done", *rest]) + "."


def _training(frames: StudyFrames) -> str:
    configs = _configs(frames)
    if not configs:
        return "No trial has finished, so its settings are not known yet."
    shared = {name: _shared(configs, f"training.{name}") for name in _TRAINING}
    epochs = "epoch" if shared["epochs"] == "1" else "epochs"
    text = (
        f"Editors were trained on the domain {_shared(configs, 'domain')} for the attribute "
        f"{_shared(configs, 'attribute')}, on {shared['num_images']} images for {shared['epochs']} {epochs} "
        f"at batch size {shared['batch_size']}, with {shared['num_train_steps']} DDIM steps and "
        f"t_edit {shared['t_edit']}."
    )
    axes = [f"{axis} ({', '.join(map(value_label, values))})" for axis, values in frames.study.axes.items()]
    if axes:
        text += f" Varied: {'; '.join(axes)}; design {frames.study.design.replace('_', '-')}."
    return text


def _evaluation(frames: StudyFrames) -> str:
    configs = _configs(frames)
    if not configs:
        return ""
    images, strength, steps = (_shared(configs, f"evaluation.{name}") for name in _EVALUATION)
    return (
        f"Metrics are means over {images} held-out images, the same for every trial, edited at strength "
        f"{strength} in {steps} steps."
    )


def _statistics(frames: StudyFrames, judgement: Judgement) -> str:
    info = metric_info(frames.primary_metric)
    better = "higher" if info.higher_is_better else "lower"
    seeds, comparisons = plural(len(frames.seeds), "seed"), plural(judgement.num_comparisons, "comparison")
    return (
        f"The primary metric ({info.label}, {better} is better), the margin of {frames.margin:g} and alpha = "
        f"{frames.alpha:g} were fixed before running (plan {frames.study.plan_hash}). Every cell was planned "
        f"with {seeds}; contrasts are paired by seed and images, with t intervals at the Holm-corrected "
        f"level, two one-sided t tests against the margin, both Holm-corrected over "
        f"{comparisons}, and exact sign-flip tests as a guard. Failed trials are counted, and ranked worst in a "
        f"sensitivity analysis."
    )


def _differences(frames: StudyFrames) -> str:
    """Training settings that are not the same in all cells: who was tuned, and how."""
    configs = [dict(_leaves(config.get("training", {}), "training.")) for config in _configs(frames)]
    if not configs:
        return ""
    places = list(dict.fromkeys(place for config in configs for place in config))
    values = {place: list(dict.fromkeys(config.get(place) for config in configs)) for place in places}
    differing = [
        f"{place} ({', '.join(value_label(value) for value in found)})"
        for place, found in values.items()
        if len(found) > 1
    ]
    if not differing:
        return "Every cell was trained with the same settings; none was tuned on its own."
    return f"Training settings differ between cells in {'; '.join(differing)}."


def _leaves(content: Json, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted place and value of every setting that is not a group of settings."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _configs(frames: StudyFrames) -> list[Json]:
    texts = frames.trials.loc[frames.trials["status"] == "done", "config"].dropna().unique()
    return [json.loads(text) for text in texts]


def _shared(configs: list[Json], path: str) -> str:
    """The values at a dotted path over all trials: one, or a list where it is varied."""
    values: dict[str, None] = {}
    for config in configs:
        value: Any = config
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        values[value_label(value)] = None
    return ", ".join(values)


def _flat(content: Json, prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        nested = isinstance(value, Mapping)
        rows += _flat(value, f"{prefix}{name}.") if nested else [(prefix + name, str(value))]
    return rows


def _is_listed(entry: object) -> bool:
    return hasattr(entry, "__len__") and not isinstance(entry, str)
