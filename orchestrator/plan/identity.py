"""Which trials, and which studies, are the same: hashes of all that decides their numbers, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.space.config import Space
from trainables.family import Family
from trainables.registry import origin_of
from trainables.settings import Settings


class Identity:
    """All that decides the numbers of a configuration's trials, but their seed and what they start from."""

    def __init__(self, family: Family, config: Settings) -> None:
        content = family.identity(config)
        used = {origin.digest for one in family.uses(config) if (origin := origin_of(*one)) is not None}
        if used:  # The plugins whose variants a trial uses.
            content = {**content, "plugins": sorted(used)}
        self._texts = {key: canonical_text(value) for key, value in content.items()}

    def signature(self, seed: int, *, parent: str | None) -> str:
        """16 hex digits of everything that decides a trial's numbers.

        A warm start counts by `parent`, what it starts from, and not by how the space found it.
        """
        texts = {**self._texts, "seed": canonical_text(seed), "parent": canonical_text(parent)}
        entries = (f"{canonical_text(key)}:{texts[key]}" for key in sorted(texts))
        return _hashed(f"{{{','.join(entries)}}}")


def cell_identity(family: Family, config: Settings, start: Mapping[str, Any] | None) -> str:
    """16 hex digits of all that decides a cell's numbers but the seed; `start` is its warm start."""
    origin = None if start is None else {key: value for key, value in start.items() if key != "control"}
    return _digest({**family.identity(config), "start": origin})


def joined_code(own: str, parents: str) -> str:
    """Fingerprint of the code behind a trial that starts from another one's weights."""
    return _digest([own, parents])


def plan_hash(space: Space) -> str:
    """16 hex digits of what is decided before running."""
    config = space.config.model_dump(mode="json")
    decided: dict[str, Any] = {"primary": primary_identity(space)}
    decided["claims"] = [
        _without_defaults(written, ("published", *claim.at))
        for written, claim in zip(config["claims"], space.config.claims, strict=True)
    ]
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
    return _hashed(canonical_text(content))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
