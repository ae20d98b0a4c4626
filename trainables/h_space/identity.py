"""What decides an editor's numbers: its configuration, what is read, the texts of attributes; and the source code."""

import hashlib
from pathlib import Path
from typing import Any

from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainSummary
from trainables.h_space.metric_checks import untold
from trainables.h_space.metrics import METRICS
from trainables.h_space.rivals import others_offered, same_family
from trainables.registry import origin_of
from trainables.source_code import code_digest

_PACKAGE = "trainables.h_space"
_ATTRIBUTES = f"{_PACKAGE}.attributes"
_DRAWING = {f"{_PACKAGE}.domains.avatars.{name}" for name in ("drawing", "faces", "masks")}
_READING = {f"{_PACKAGE}.domains.{name}" for name in ("decoding", "folder", "pictures", "scanning", "tables")}


def identity(config: CellConfig, domain: DomainSummary) -> dict[str, Any]:
    """JSON-able. A domain counts by its name and what it reads; a warm start by what it starts from, elsewhere."""
    dumped = config.model_dump(mode="json", exclude={"init", "precision"})
    # Settings that came later count where they are not what every trial before them had.
    if config.images == "fixed":
        del dumped["images"]
    if config.evaluation.split == "test":
        del dumped["evaluation"]["split"]
    if config.training.recon_in == "x":
        del dumped["training"]["recon_in"]
    if precision := config.precision.model_dump(exclude_defaults=True):
        dumped["precision"] = precision
    return {
        "config": {**dumped, "domain": domain.name, "evaluation": _evaluation(dumped["evaluation"])},
        **({"interval": domain.interval.model_dump()} if _has_own_interval(config, domain) else {}),
        "domain_fingerprint": domain.fingerprint,
        "attributes": {one.name: _said(one) for one in _attributes(config.edit, domain)},
    }


def code(config: CellConfig, domain: DomainSummary) -> str:
    """Fingerprint of the modules that train this editor and measure these metrics on this domain's images.

    The table of attributes counts by the texts that a trial uses, in `identity`.
    """
    metrics = [metric for metric in METRICS.values() if not untold(metric, config, domain)]
    variants = [
        ("editor", config.editor.kind),
        ("optimizer", config.training.optimizer.kind),
        *(("metric", one.name) for one in metrics),
    ]
    # What a plugin declares counts by the plugin's text, in a trial's signature.
    own = [f"{what}s.{name}" for what, name in variants if origin_of(what, name) is None]
    used = ["trial", "trajectories", *own]
    apart = {_ATTRIBUTES}
    if domain.judge is not None and any("judge" in metric.needs for metric in metrics):
        used += [f"judges.{domain.judge}"] if origin_of("judge", domain.judge) is None else []
    if domain.segmenter is not None and any("segmenter" in metric.needs for metric in metrics):
        used += [f"segmenters.{domain.segmenter}"] if origin_of("segmenter", domain.segmenter) is None else []
    elif domain.pictures is not None:
        apart |= _DRAWING
    if domain.pictures is None:
        apart |= _READING
    if domain.latents is None:
        apart |= {f"{_PACKAGE}.backbones.autoencoder"}
    if config.evaluation.delta_h == "predicted":
        apart |= {f"{_PACKAGE}.mean_delta_h"}
    return code_digest([f"{_PACKAGE}.{name}" for name in used], apart)


def _attributes(edit: Attribute, domain: DomainSummary) -> list[Attribute]:
    """The attribute that is trained, and those that its edits are measured along or could be mistaken for."""
    rivals = [other for other in ATTRIBUTES.values() if same_family(edit, other) and other.name != edit.name]
    return [edit, *others_offered(domain.attributes, edit), *rivals]


def _said(attribute: Attribute) -> dict[str, Any]:
    """What of an attribute decides numbers: its texts, and the labels that its true edit changes."""
    return {"source": attribute.source, "target": attribute.target, "redraw": dict(attribute.redraw)}


def _has_own_interval(config: CellConfig, domain: DomainSummary) -> bool:
    """Whether t_edit comes from thresholds that are not the published ones, which no fingerprint holds."""
    return config.training.t_edit == "auto" and not domain.interval.is_published


def _evaluation(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What is measured, a file of subgroups by its content. Raises OSError for one that is not there."""
    file = evaluation["subgroup_file"]
    digest = None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return {**evaluation, "subgroup_file": digest}
