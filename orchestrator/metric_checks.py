"""Whether the metrics that a space is about can be told in its cells: a primary metric that cannot is no plan."""

from collections.abc import Iterator, Sequence

from orchestrator.wording import did_you_mean, expected, one_of
from orchestrator.yaml_tree import Loc
from trainables.config import CellConfig
from trainables.domains import DomainSummary
from trainables.metrics import METRICS, NEEDS, Metric, Need

NamedMetric = tuple[Loc, str]
"""Where the space's file names a metric, and its name."""

METRICS_PLACE: Loc = ("evaluation", "metrics")
FEATURES_PLACE: Loc = ("evaluation", "fid_features")


def check_named(
    config: CellConfig, summary: DomainSummary, named: Sequence[NamedMetric]
) -> Iterator[tuple[Loc, str]]:
    """The metrics that the space names but a cell cannot tell, at the places of their names."""
    for place, name in named:
        if name in METRICS and (reason := untold(METRICS[name], config, summary)):
            told = [known.name for known in METRICS.values() if not untold(known, config, summary)]
            others = did_you_mean(name, told) or f"; these can be: {one_of(told)}"
            yield place, f"{name} {reason}{others}"


def check_asked(config: CellConfig, summary: DomainSummary) -> Iterator[tuple[Loc, str]]:
    """What a cell's own `evaluation` asks for and its domain does not have, at the places in the cell."""
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


def untold(metric: Metric, config: CellConfig, summary: DomainSummary) -> str:
    """Why a cell cannot tell a metric, or nothing."""
    if metric.is_optional and metric.name not in config.evaluation.metrics:
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
