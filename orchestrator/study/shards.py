"""A study in shards: launches side by side, each of which runs its own share of the trials."""

import re
from dataclasses import dataclass

from orchestrator.plan.cells import Plan


@dataclass(frozen=True)
class Shard:
    """One of the launches that a study is divided into."""

    number: int
    """From 1."""
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.number}-of-{self.count}"

    @classmethod
    def named(cls, name: str) -> "Shard | None":
        """The shard whose files have this name; None where it is none's."""
        found = re.fullmatch(r"(\d+)-of-(\d+)", name)
        return None if found is None else cls(int(found[1]), int(found[2]))


def share(plan: Plan, shard: Shard) -> frozenset[str]:
    """Signatures of a shard's trials: the same for every launch of the same plan, whatever has run by then.

    A trial that starts from another one's model is in that one's shard, for nobody else could tell when it is done.
    Every family of trials goes to the shard that has the fewest epochs so far.
    """
    first: dict[str, str] = {}
    """Signature -> that of the trial which its chain of warm starts begins with, in plan order."""
    for trial in plan.trials:  # Every parent comes before its children.
        first[trial.signature] = first.get(trial.parent or "", trial.signature)
    epochs: dict[str, int] = dict.fromkeys(first.values(), 0)
    for trial in {trial.signature: trial for trial in plan.trials}.values():
        epochs[first[trial.signature]] += plan.family.num_epochs(trial.config)
    loads = [0] * shard.count
    holder = {}
    for ancestor, num_epochs in epochs.items():
        holder[ancestor] = least = min(range(shard.count), key=loads.__getitem__)
        loads[least] += max(num_epochs, 1)
    return frozenset(name for name, ancestor in first.items() if holder[ancestor] == shard.number - 1)
