"""The methods paragraph of a study, made from its records: what was done, and where it departs from the published."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.comparability import image_sets
from analysis.contrasts import Judgement
from analysis.error_rate import alpha_sentence
from analysis.frames import StudyFrames
from analysis.labels import PLACE, axis_label, metric_info, plural, value_label
from analysis.search_summary import picked_sentence
from orchestrator.ledger import planned_looks

Json = Mapping[str, Any]

_MANY = 8
"""More numbers than this are not listed one by one."""


def methods_paragraph(frames: StudyFrames, judgement: Judgement) -> str:
    """How the numbers came about: domain, training, evaluation, seeds, statistics."""
    sentences = [
        *_of_the_family(frames),
        _statistics(frames, judgement),
        _differences(frames),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _of_the_family(frames: StudyFrames) -> Iterator[str]:
    """How trials were made, in the family's own sentences, and where that departs from what was published."""
    configs = _configs(frames)
    if not configs:
        yield "No trial has finished, so its settings are not known yet."
        return
    published, sentences = _told(frames)
    if not sentences:
        yield _trained(frames)
    for number, sentence in enumerate(sentences):
        yield PLACE.sub(lambda place: _shared(configs, place[1]), sentence)
        if number == 0:
            yield _varied(frames).strip()
    yield _items(frames)
    yield _departures(configs, published)


def _items(frames: StudyFrames) -> str:
    """Which items trials were measured on, and so what verdicts are about; nothing where there are none."""
    by_cell = image_sets(frames)
    of_seed: dict[int, set[frozenset[str]]] = {}
    for own in by_cell.values():
        for seed, items in own.items():
            of_seed.setdefault(seed, set()).add(items)
    if any(len(sets) > 1 for sets in of_seed.values()):
        return "The items that trials were measured on are not the same for all cells: contrasts use those of both."
    if len({items for sets in of_seed.values() for items in sets}) > 1:
        return (
            "Every seed has items of its own to be measured on, the same for all cells: verdicts are about items like "
            "these."
        )
    about = ": verdicts are about these items" if len(of_seed) > 1 else ""
    return f"The items that trials were measured on are the same for all of them{about}." if of_seed else ""


def _told(frames: StudyFrames) -> tuple[Mapping[str, Json], Sequence[str]]:
    """Published settings and sentences from the study; one that was written before it had them asks its family."""
    study = frames.study
    if study.published_settings is not None:
        return study.published_settings, study.sentences
    from trainables.families import described_by_name

    said = described_by_name(study.family)
    return said.get("published_settings", {}), said.get("sentences", ())


def _trained(frames: StudyFrames) -> str:
    """What every family can say of its trials: what they share, and what is varied."""
    configs = [dict(_leaves(config, "")) for config in _configs(frames)]
    shared = [name for name in configs[0] if len({str(config.get(name)) for config in configs}) == 1]
    told = [name for name in shared if name != "schema_version" and configs[0][name] not in (None, "", [])]
    settings = ", ".join(f"{_in_words(name)} {_setting_label(configs[0][name])}" for name in told)
    text = f"Trials are of the family {frames.study.family}" + (f", with {settings}." if settings else ".")
    return text + _varied(frames)


def _in_words(place: str) -> str:
    return place.replace("_", " ").replace(".", " ")


def _varied(frames: StudyFrames) -> str:
    axes = [f"{axis_label(axis)} ({_listed(values)})" for axis, values in frames.study.axes.items()]
    return f" Varied: {'; '.join(axes)}; design {frames.study.design.replace('_', '-')}." if axes else ""


def _departures(configs: Sequence[Json], published: Mapping[str, Json]) -> str:
    """Where trials depart from what was published; settings that a trial does not know are as published."""
    if not published:
        return ""
    found = []
    for path, setting in published.items():
        acting = [config for config in configs if not _is_inert(config, setting.get("unless", ()))]
        values = _shared(acting, path, setting["value"])
        if acting and values != value_label(setting["value"]):
            found.append(f"{setting['words']} {values} (published: {value_label(setting['value'])})")
    if not found:
        return "Every setting that was published is as published."
    return f"It departs from the published method in: {'; '.join(found)}."


def _is_inert(config: Json, unless: Iterable[Sequence[Any]]) -> bool:
    return any(_at(config, path, None) == value for path, value in unless)


def _statistics(frames: StudyFrames, judgement: Judgement) -> str:
    info = metric_info(frames.primary_metric)
    better = "higher" if info.higher_is_better else "lower"
    if frames.study.is_search:
        return f"The metric of the search is {info.label} ({better} is better). {picked_sentence(frames)}"
    pairs = "seed and item" if frames.evaluations["image_id"].notna().any() else "seed"
    fixed = (
        "were" if len(frames.study.plan_hashes) < 2 else "are those of the present plan; they were not all"
    )
    return (
        f"The primary metric ({info.label}, {better} is better), the margin of {frames.margin:g} and alpha = "
        f"{frames.alpha:g} {fixed} fixed before running (plan {frames.study.plan_hash}). {_planned(frames)} "
        f"Contrasts are paired by {pairs}, with t intervals, two one-sided t tests against the margin, and "
        f"exact sign-flip tests as a guard, each comparison at its own part of alpha: the chance of any wrong verdict "
        f"is at most {frames.alpha:g}, and all intervals cover at once. {alpha_sentence(frames, judgement)} Failed "
        f"trials are counted, and ranked worst in a sensitivity analysis."
    ) + (_all_else_equal(frames) + _looks(frames))


def _planned(frames: StudyFrames) -> str:
    """How many seeds were planned, and how many at first."""
    first = (frames.study.plans or (planned_looks(frames.study),))[0]
    seeds = plural(len(frames.seeds), "seed")
    if frames.study.adaptive or set(first.seeds) == set(frames.seeds):
        return f"Cells were planned with {seeds}." if not frames.study.adaptive else ""
    return f"Cells were first planned with {plural(len(first.seeds), 'seed')}, and have {seeds} now."


def _all_else_equal(frames: StudyFrames) -> str:
    axis = frames.study.compare
    return "" if axis is None else f" Cells are compared along {axis_label(axis)}, with all other axes equal."


def _looks(frames: StudyFrames) -> str:
    """How the error rate is kept where seeds are added while contrasts are undecided."""
    rule = frames.study.adaptive
    if not rule:
        return ""
    schedule = ", ".join(map(str, rule["schedule"]))
    return (
        f" Seeds were added until every contrast was decided, to at most {rule['max']}, with looks after {schedule} "
        "seeds; alpha is spent in proportion to the seeds, so that all looks together keep it. The differences of "
        "comparisons that ended early are likely overstated."
    )


def _differences(frames: StudyFrames) -> str:
    """Training settings that are not the same in all cells: who was tuned, and how."""
    if frames.study.is_search:
        return ""  # what a search varies has been said
    configs = [dict(_leaves(config.get("training", {}), "training.")) for config in _configs(frames)]
    if not any(configs):
        return ""
    places = list(dict.fromkeys(place for config in configs for place in config))
    values = {place: [config.get(place) for config in configs] for place in places}
    differing = [
        f"{place} ({_listed(found)})"
        for place, found in values.items()
        if any(one != found[0] for one in found)
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


def _setting_label(value: Any) -> str:
    """A setting as a reader sees it; groups as `model egnn`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_setting_label(own)}" for name, own in value.items() if own is not None)
    return " and ".join(map(_setting_label, value)) if isinstance(value, list) else value_label(value)


def _shared(configs: Sequence[Json], path: str, absent: Any = None) -> str:
    """The values at a dotted path over all trials: one, or a list where it is varied; `absent` where it is not set."""
    return _listed(_at(config, path, absent) for config in configs)


def _at(config: Json, path: str, absent: Any) -> Any:
    value: Any = config
    for part in path.split("."):
        value = value.get(part, absent) if isinstance(value, Mapping) else absent
    return value


def _listed(values: Iterable[Any]) -> str:
    """Different values, each once; numbers in ascending order and, where they are many, only how far they reach."""
    labels = {_setting_label(value): value for value in values}
    if all(isinstance(value, (int, float)) for value in labels.values()):
        numbers = sorted(labels, key=lambda label: float(labels[label]))
        return ", ".join(numbers) if len(numbers) <= _MANY else f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(labels)
