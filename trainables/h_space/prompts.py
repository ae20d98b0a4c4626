"""An attribute's texts in CLIP space.

Legend: D CLIP width, K texts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.h_space.attributes import Attribute
from trainables.h_space.domains.loading import Domain
from trainables.h_space.losses import text_direction
from trainables.h_space.references import Lookup, bare_texts, computing, in_templates


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
    def of(cls, domain: Domain, attribute: Attribute, look_up: Lookup | None = None) -> "AttributeTexts":
        """The texts of an attribute in a domain's CLIP: looked up, or computed where nothing is kept."""
        look_up = look_up or computing(domain)
        bare = look_up(bare_texts(attribute))["embedding"]
        return cls(attribute_direction(attribute, look_up), float(bare[0] @ bare[1]), bare)


@torch.no_grad()
def attribute_direction(attribute: Attribute, look_up: Lookup) -> Tensor:
    """(D,) unit: from source to target text, mean over the domain's prompt templates."""
    target, source = (
        look_up(in_templates(text))["embedding"] for text in (attribute.target, attribute.source)
    )
    return text_direction(target, source)
