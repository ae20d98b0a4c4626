"""An attribute's texts in CLIP space.

Legend: D CLIP width, K texts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.attributes import ATTRIBUTES, Attribute
from trainables.domains import Domain
from trainables.losses import text_direction


@dataclass(frozen=True)
class AttributeTexts:
    """What training and metrics need of an attribute's two texts, computed for this attribute alone.

    (The published code kept the direction of an earlier attribute when its loss object was reused.)
    """

    direction: Tensor
    """(D,) unit: mean over the domain's prompt templates of target minus source. What metrics measure along."""
    prompt_cosine: float
    """Cosine of the two bare prompts (method.md section 5)."""
    rivals: Tensor
    """(K, D) unit: target, source, then the targets of the attribute's family."""

    @property
    def bare_direction(self) -> Tensor:
        """(D,) unit: target minus source without any template."""
        return text_direction(self.rivals[:1], self.rivals[1:2])

    @classmethod
    @torch.no_grad()
    def of(cls, domain: Domain, attribute: Attribute) -> "AttributeTexts":
        """The texts of an attribute in a domain's CLIP."""
        target = domain.clip.text(domain.prompts(attribute.target))
        source = domain.clip.text(domain.prompts(attribute.source))
        bare = domain.clip.text([attribute.target, attribute.source, *rival_texts(attribute)])
        return cls(text_direction(target, source), float(bare[0] @ bare[1]), bare)


def rival_texts(attribute: Attribute) -> list[str]:
    """Target texts an image could be mistaken for: attributes that redraw the same label (the other emotions,
    the other kinds, ...). None where nothing can be drawn."""
    family = [
        other.target
        for other in ATTRIBUTES.values()
        if other.name != attribute.name and same_family(attribute, other)
    ]
    return family


def same_family(a: Attribute, b: Attribute) -> bool:
    """Whether two attributes redraw the same label, so that an image has at most one of them."""
    return bool(a.redraw) and a.redraw.keys() == b.redraw.keys()
