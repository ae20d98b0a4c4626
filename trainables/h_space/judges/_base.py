"""What a judge is: pictures in, what they show out, and features in which pictures are compared.

Legend: B images, C channels, H x W pixels in [-1, 1], V values of a label, L values of all labels together, F features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.registry import wrong_call


@dataclass(frozen=True, eq=False)
class Judge:
    """A network that reads labels from pictures. Its file's name is what a domain writes as `judge`."""

    name: str
    labels: Mapping[str, tuple[str, ...]]
    """Values of every label that it reads, such as `emotion: (neutral, smiling, ...)`."""
    load: Callable[[torch.device], Callable[[Tensor], Tensor]]
    """From a device to a function (B, C, H, W) -> (B, L + F): the logits of all values in their order, then features
    whose squared distance says how differently two pictures look."""

    @property
    def num_values(self) -> int:
        """L."""
        return sum(map(len, self.labels.values()))

    def place_of(self, label: str, value: object) -> int:
        """Position of a value among those of its label; -1 for one that the judge does not know."""
        word = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        values = self.labels[label]
        return values.index(word) if word in values else -1

    def odds(self, seen: Tensor) -> dict[str, Tensor]:
        """Probabilities (B, V) of the values of each label, in what was seen (B, L + F)."""
        return {name: one.softmax(dim=1) for name, one in zip(self.labels, self.logits(seen), strict=True)}

    def logits(self, seen: Tensor) -> tuple[Tensor, ...]:
        """Those (B, V) of each label, in what was seen (B, L + F)."""
        sizes = [len(values) for values in self.labels.values()]
        return torch.split(seen[:, : self.num_values], sizes, dim=1)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Squared distance of the features of what was seen, (B, L + F) twice: (B,)."""
        return (a[:, self.num_values :] - b[:, self.num_values :]).square().sum(dim=1)


@dataclass(frozen=True)
class LoadedJudge:
    """A judge, and what it sees on a device."""

    judge: Judge
    look: Callable[[Tensor], Tensor]
    """(B, C, H, W) -> (B, L + F)."""


def fault(judge: Judge) -> str:
    """What is wrong with a judge from outside the package, or nothing."""
    return wrong_call(judge.load, ("device",), "load")
