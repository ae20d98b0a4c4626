"""Whether the metrics that a space is about can be told in its cells: a primary metric that cannot is no plan."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainables.errors import UserError
from trainables.h_space.config import CellConfig, EvaluationConfig
from trainables.h_space.domains import DomainSummary
from trainables.h_space.domains.images import Split
from trainables.h_space.domains.label_file import read_labels
from trainables.h_space.domains.pictures import Looked, PictureImages
from trainables.h_space.metrics import METRICS, NEEDS, Metric, Need, SetMetric
from trainables.paths import user_path
from trainables.wording import did_you_mean, expected, one_of
from trainables.yaml_tree import Loc

NamedMetric = tuple[Loc, str]
"""Where the space's file names a metric, and its name."""

DOMAIN_PLACE: Loc = ("domain",)
METRICS_PLACE: Loc = ("evaluation", "metrics")
FEATURES_PLACE: Loc = ("evaluation", "fid_features")
SUBGROUPS_PLACE: Loc = ("evaluation", "subgroups")
SUBGROUP_FILE_PLACE: Loc = ("evaluation", "subgroup_file")


def check_named(
    config: CellConfig, summary: DomainSummary, named: Sequence[NamedMetric]
) -> Iterator[tuple[Loc, str]]:
    """The metrics that the space names but a cell cannot tell, at the places of their names."""
    for place, name in named:
        if name in METRICS and (reason := untold(METRICS[name], config, summary)):
            told = [known.name for known in METRICS.values() if not untold(known, config, summary)]
            others = did_you_mean(name, told) or f"; these can be: {one_of(told)}"
            yield place, f"{name} {reason}{others}"


def check_unit(config: CellConfig, primary: str) -> Iterator[tuple[Loc, str]]:
    """The unit of the primary metric's margin does not depend on which weights a domain happens to name."""
    metric = METRICS.get(primary)
    if (
        isinstance(metric, SetMetric)
        and metric.features == "chosen"
        and config.evaluation.fid_features == "auto"
    ):
        yield (
            FEATURES_PLACE,
            f"expected clip or inception where {primary} is the primary metric; found auto, with which the unit of its "
            "margin would depend on whether the domain names Inception's weights",
        )


def images_asked(config: CellConfig) -> tuple[tuple[Loc, int, Split], ...]:
    """(place of the setting, how many images, of which split) for each split."""
    return (
        (("training", "num_images"), config.training.num_images, "train"),
        (("evaluation", "num_images"), config.evaluation.num_images, config.evaluation.split),
    )


def looked_at(pictures: PictureImages, config: CellConfig, split: Split, count: int) -> Looked:
    """What the headers tell of the pictures that a cell may read of a split: any, where seeds have their own."""
    return pictures.looked_at(split, None if config.images == "by_seed" else count, config.evaluation.split)


def check_asked(config: CellConfig, summary: DomainSummary) -> Iterator[tuple[Loc, str]]:
    """What a cell's own `evaluation` asks for and its domain does not have, at the places in the cell."""
    for place, asked, split in images_asked(config):
        held = summary.num_images.get(split, asked)
        if split == "train" and summary.pictures:
            held = summary.pictures.count(split, config.evaluation.split)
        if asked > held:
            yield (
                place,
                f"expected at most {held}, all {split} images of domain {summary.name}; found {asked}",
            )
        elif summary.pictures and (problem := looked_at(summary.pictures, config, split, asked).problem):
            yield DOMAIN_PLACE, f"{summary.name}: {problem}"
    for name in config.evaluation.metrics:
        if name not in METRICS:
            yield METRICS_PLACE, f"{expected('a metric', name, METRICS)} (all: asyrp-sweep list metrics)"
        elif reason := _missing(METRICS[name], config, summary):
            yield METRICS_PLACE, f"{name} {reason}"
    if config.evaluation.fid_features == "inception" and "inception" not in summary.offers:
        yield (
            FEATURES_PLACE,
            f"expected clip or auto; inception needs {NEEDS['inception']}, which {summary.name} lacks",
        )
    yield from _check_subgroups(config.evaluation, summary)


def _check_subgroups(evaluation: EvaluationConfig, summary: DomainSummary) -> Iterator[tuple[Loc, str]]:
    """Every label that images are to be grouped by is the domain's or a column of the file."""
    columns: tuple[str, ...] = ()
    if evaluation.subgroup_file is not None:
        try:
            table = read_labels(user_path(evaluation.subgroup_file))
            if summary.pictures is not None:
                table.check(summary.pictures.held_out_ids(evaluation.split))
            columns = table.columns
        except UserError as error:
            yield SUBGROUP_FILE_PLACE, f"expected a CSV of image ids and their groups; {error}"
            return
    if not columns and "labels" in summary.offers and not summary.label_names:
        return  # which labels there are is not known
    known = (*summary.label_names, *columns)
    for name in evaluation.subgroups:
        if name in known:
            continue
        where = f"domain {summary.name}" + (f" or column of {evaluation.subgroup_file}" if columns else "")
        if known:
            yield (
                SUBGROUPS_PLACE,
                f"{expected(f'a label of {where}', name, known)}; there are {', '.join(known)}",
            )
        else:
            yield (
                SUBGROUPS_PLACE,
                f"no image of {where} is labelled, so {name} tells no groups: name a CSV with columns image_id and "
                f"{name} as evaluation.subgroup_file",
            )


def check_grouped(config: CellConfig, figures: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Loc, str]]:
    """The metrics of sets that a figure shows by subgroup but a cell does not measure so, at the figure's place."""
    for index, figure in enumerate(figures):
        label, metrics = figure.get("label", "group"), figure.get("metrics")
        if figure.get("kind") != "subgroups" or not isinstance(metrics, list | tuple):
            continue
        for position, name in enumerate(metrics):
            if isinstance(METRICS.get(name), SetMetric) and label not in config.evaluation.subgroups:
                yield (
                    ("figures", index, "metrics", position),
                    f"{name} is measured within groups of {label} only where evaluation.subgroups names it: "
                    f"evaluation: {{subgroups: [{label}]}}",
                )


def is_measured(metric: Metric, config: CellConfig) -> bool:
    """Whether a cell asks for a metric."""
    return not metric.is_optional or metric.name in config.evaluation.metrics


def untold(metric: Metric, config: CellConfig, summary: DomainSummary) -> str:
    """Why a cell cannot tell a metric, or nothing."""
    if not is_measured(metric, config):
        missing = _missing(metric, config, summary)
        return (
            missing
            or f"is only measured where evaluation.metrics names it: evaluation: {{metrics: [{metric.name}]}}"
        )
    return _missing(metric, config, summary)


def _missing(metric: Metric, config: CellConfig, summary: DomainSummary) -> str:
    """What a metric needs that the domain does not have, or not for this attribute."""
    for need in metric.needs:
        if need not in summary.offers:
            return f"needs {NEEDS[need]}; domain {summary.name} has none"
        if not _has_for_attribute(need, config, summary):
            return f"needs {NEEDS[need]}; domain {summary.name} has none for {config.attribute}"
    return ""


def _has_for_attribute(need: Need, config: CellConfig, summary: DomainSummary) -> bool:
    labels = set(config.edit.redraw)
    if need == "counterfactual":
        return bool(labels)
    if need == "labels":
        return bool(labels) and (not summary.label_names or labels <= set(summary.label_names))
    return True
