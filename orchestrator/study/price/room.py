"""What a launch will write, against the disk of its results: known without timing anything."""

import shutil
from collections.abc import Sequence

from orchestrator.space.units import size_of
from orchestrator.study.launch import Study
from orchestrator.study.price.pricing import parallel_trials
from trainables.settings import Settings

_BYTES_OF_A_WEIGHT = 4
_COPIES_IN_A_CHECKPOINT = 3
"""A weight and two moments of its optimizer."""
_ROOM_OF_A_TRIAL = 200_000_000
"""Far more than a model and its checkpoints take: where each trial has that, weights are not counted, which needs
torch."""


def lacking_room(
    study: Study,
    missing: Sequence[Settings],
    to_prepare: Sequence[Settings],
    num_bytes: int | None = None,
) -> str:
    """What is wrong where the disk of the results has less room than a launch needs; nothing where it has enough.

    `missing` has the configuration of every missing trial, `to_prepare` one for each preparation. `num_bytes` is what
    the trials leave where a price has told it; else their weights are counted, and a command's files are not.
    """
    family = study.space.family
    there = next(above for above in (study.folder, *study.folder.parents) if above.exists())
    free = shutil.disk_usage(there).free
    shared = family.preparation_bytes(to_prepare, study.cache_dir)
    if free >= shared + (num_bytes or 0) + len(missing) * _ROOM_OF_A_TRIAL:
        return ""
    parameters = {id(config): family.num_parameters(config) or 0 for config in missing}
    models = sum(parameters[id(config)] for config in missing) * _BYTES_OF_A_WEIGHT
    largest = max(parameters.values(), default=0) * _BYTES_OF_A_WEIGHT
    at_once = min(parallel_trials(study.space.config.execution), len(missing))
    parts = {
        f"for what they share, in {study.cache_dir.name}": shared,
        "for what they leave": max(models, num_bytes or 0),
        # The checkpoint before goes once the next is whole.
        "for checkpoints": at_once * 2 * _COPIES_IN_A_CHECKPOINT * largest,
    }
    needed = sum(parts.values())
    if free >= needed:
        return ""
    listed = ", ".join(f"{size_of(size)} {what}" for what, size in parts.items() if size)
    return (
        f"{study.folder.parent} has {size_of(free)} free, and the missing trials need about {size_of(needed)} "
        f"({listed}): make room, or choose another disk with --results"
    )
