"""Which trials, and which studies, are the same: hashes of all that decides their numbers, and of nothing else."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.space.config import Space
from trainables.h_space.config import TRAINING_VERSION, CellConfig
from trainables.h_space.domains import DomainSummary


def trial_signature(config: CellConfig, seed: int, *, parent: str | None, domain: DomainSummary) -> str:
    """16 hex digits of everything that decides a trial's numbers.

    A domain counts by its name and fingerprint, so that moving its YAML changes nothing; a warm start by
    `parent`, what it starts from, and not by how the space found it.
    """
    dumped = config.model_dump(mode="json", exclude={"init"})
    identity = {
        "config": {**dumped, "domain": domain.name, "evaluation": _evaluation_identity(dumped["evaluation"])},
        **({"interval": domain.interval.model_dump()} if _has_own_interval(config, domain) else {}),
        "seed": seed,
        "parent": parent,
        "domain_fingerprint": domain.fingerprint,
        "training_version": TRAINING_VERSION,
    }
    return _digest(identity)


def _has_own_interval(config: CellConfig, domain: DomainSummary) -> bool:
    """Whether t_edit comes from thresholds that are not the published ones, which no fingerprint holds."""
    return config.training.t_edit == "auto" and not domain.interval.is_published


def _evaluation_identity(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What is measured, a file of subgroups by its content. Raises OSError for one that is not there."""
    kept = _without_defaults(evaluation, ("subgroups", "subgroup_file"))
    if (file := evaluation["subgroup_file"]) is not None:
        kept["subgroup_file"] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return kept


def plan_hash(space: Space) -> str:
    """16 hex digits of what is decided before running."""
    config = space.config.model_dump(mode="json")
    decided: dict[str, Any] = {"primary": primary_identity(space)}
    decided["claims"] = [_without_defaults(claim, ("strength", "published")) for claim in config["claims"]]
    decided["design"] = _short_design(space)
    decided["axes"] = {
        name: _without_defaults(axis, ("off", "when")) for name, axis in config["axes"].items()
    }
    if space.config.constraints:
        decided["constraints"] = config["constraints"]
    if space.config.compare is not None:
        decided["compare"] = space.config.compare
    if space.config.adaptive is not None:
        decided["seeds"] = config["seeds"]
    return _digest(decided)


def primary_identity(space: Space) -> dict[str, Any]:
    """What the study is judged by; what it might have been judged by instead says nothing of it."""
    return space.config.primary.model_dump(mode="json", exclude={"instead"})


def _short_design(space: Space) -> Any:
    """The design as briefly as a space can write it."""
    design = space.config.design.model_dump(mode="json", exclude_defaults=True)
    return design["kind"] if len(design) == 1 else design


def _without_defaults(settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Settings without these entries where they say nothing: they came later than the first studies."""
    return {key: value for key, value in settings.items() if key not in names or value not in (None, {}, [])}


def canonical_text(content: object) -> str:
    """JSON that is equal exactly when the content is."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(content: object) -> str:
    return hashlib.sha256(canonical_text(content).encode()).hexdigest()[:16]
