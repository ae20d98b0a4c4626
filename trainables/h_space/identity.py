"""What decides an editor's numbers: its configuration, its domain, and the version of the training."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.h_space.config import TRAINING_VERSION, CellConfig
from trainables.h_space.domains import DomainSummary


def identity(config: CellConfig, domain: DomainSummary) -> dict[str, Any]:
    """JSON-able. A domain counts by its name and fingerprint; a warm start by what it starts from, elsewhere."""
    dumped = config.model_dump(mode="json", exclude={"init"})
    return {
        "config": {**dumped, "domain": domain.name, "evaluation": _evaluation(dumped["evaluation"])},
        **({"interval": domain.interval.model_dump()} if _has_own_interval(config, domain) else {}),
        "domain_fingerprint": domain.fingerprint,
        "training_version": TRAINING_VERSION,
    }


def _has_own_interval(config: CellConfig, domain: DomainSummary) -> bool:
    """Whether t_edit comes from thresholds that are not the published ones, which no fingerprint holds."""
    return config.training.t_edit == "auto" and not domain.interval.is_published


def _evaluation(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What is measured, a file of subgroups by its content. Raises OSError for one that is not there."""
    kept = without_defaults(evaluation, ("subgroups", "subgroup_file", "preview_strengths"))
    if (file := evaluation["subgroup_file"]) is not None:
        kept["subgroup_file"] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return kept


def without_defaults(settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Settings without these entries where they say nothing: they came later than the first studies."""
    return {key: value for key, value in settings.items() if key not in names or value not in (None, {}, [])}
