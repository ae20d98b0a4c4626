"""What edits are measured with: everything that depends on the domain and the attribute but on no editor.

Legend: B images, C channels, H x W pixels in [-1, 1], D CLIP width, K attributes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.domains.loading import Domain
from trainables.h_space.losses import text_direction
from trainables.h_space.metrics import METRICS, EditBatch, Metric, Need, Pictures
from trainables.h_space.probe import Probe, has_labels
from trainables.h_space.prompts import AttributeTexts, attribute_direction
from trainables.h_space.references import (
    Lookup,
    computing,
    probe_of,
    second_texts,
)
from trainables.h_space.rivals import others_offered, same_family


@dataclass(frozen=True)
class Yardsticks:
    """The tools of an evaluation."""

    domain: Domain
    texts: AttributeTexts
    metrics: tuple[Metric, ...]
    """Those that are measured."""
    shift_names: tuple[str, ...]
    """The attributes along which every edit's shift is recorded."""
    shift_directions: Tensor
    """(K, D) unit: their text directions."""
    is_other_family: Tensor
    """(K,) booleans: which of them count as leakage."""
    second_direction: Tensor | None
    probe: Probe | None
    redraw: Mapping[str, object]

    @classmethod
    def of(
        cls,
        domain: Domain,
        attribute: Attribute,
        texts: AttributeTexts,
        *,
        optional_metrics: Sequence[str] = (),
        offered: Iterable[str] = (),
        look_up: Lookup | None = None,
    ) -> "Yardsticks":
        """The yardsticks of an attribute. `offered` are the domain's attributes, watched for leakage.

        Without `look_up` everything is computed here.
        """
        look_up = look_up or computing(domain)
        others = others_offered(offered, attribute)
        directions = [attribute_direction(other, look_up) for other in others]
        return cls(
            domain=domain,
            texts=texts,
            metrics=measured_metrics(optional_metrics),
            shift_names=(attribute.name, *(other.name for other in others)),
            shift_directions=torch.stack([texts.direction, *directions]),
            is_other_family=torch.tensor(
                [False, *(not same_family(attribute, other) for other in others)], device=domain.device
            ),
            second_direction=None if domain.clip_eval is None else _second_direction(attribute, look_up),
            probe=_probe(domain, attribute, look_up),
            redraw=attribute.redraw,
        )

    def pictures(self, pixels: Tensor) -> Pictures:
        """Pictures (B, C, H, W) with all that the measured metrics see in them."""
        needs = needed(self.metrics)
        return pictures_of(self.domain, pixels, "segmenter" in needs, "identity" in needs)

    def unedited(
        self, original: Pictures, reconstruction: Pictures, counterfactual: Pictures | None
    ) -> EditBatch:
        """What edits of every strength are compared with; its own edit is the reconstruction."""
        return EditBatch(
            original=original,
            reconstruction=reconstruction,
            edit=reconstruction,
            counterfactual=counterfactual,
            text_direction=self.texts.direction,
            rival_texts=self.texts.rivals,
            distance=self.domain.clip.perceptual_distance,
            second_direction=self.second_direction,
            other_directions=self.shift_directions[self.is_other_family],
            probe=self.probe,
            judge=None if self.domain.judge is None else self.domain.judge.judge,
            redraw=self.redraw,
            lpips=self.domain.lpips if "lpips" in needed(self.metrics) else None,
        )


def pictures_of(
    domain: Domain,
    pixels: Tensor,
    has_parts: bool,
    has_identity: bool,
    parts: Tensor | None = None,
    embedding: Tensor | None = None,
) -> Pictures:
    """Pictures (B, C, H, W) as the domain's models see them; parts and embedding unless they are given."""
    if parts is None and domain.segment is not None and has_parts:
        parts = domain.segment(pixels)
    return Pictures(
        pixels,
        domain.clip.image(pixels) if embedding is None else embedding,
        second=None if domain.clip_eval is None else domain.clip_eval.image(pixels),
        parts=parts,
        judged=None if domain.judge is None else domain.judge.look(pixels),
        identity=domain.identify(pixels) if has_identity and domain.identify is not None else None,
    )


def needed(metrics: Iterable[Metric]) -> set[Need]:
    """All that any of these metrics cannot be told without."""
    return {need for metric in metrics for need in metric.needs}


def measured_metrics(optional: Sequence[str] = ()) -> tuple[Metric, ...]:
    """The metrics of an evaluation that asks for these optional ones. Raises ValueError for an unknown name."""
    if unknown := sorted(set(optional) - METRICS.keys()):
        raise ValueError(f"evaluation.metrics: {', '.join(unknown)} is no metric")
    return tuple(metric for name, metric in METRICS.items() if not metric.is_optional or name in optional)


def _probe(domain: Domain, attribute: Attribute, look_up: Lookup) -> Probe | None:
    """The label probe of an attribute; one that is not in the table has no label."""
    if attribute.name not in ATTRIBUTES or not has_labels(
        domain.images.label_names, ATTRIBUTES[attribute.name]
    ):
        return None
    found = look_up(probe_of(attribute))
    return Probe(found["weights"], float(found["offset"])) if len(found["weights"]) else None


def _second_direction(attribute: Attribute, look_up: Lookup) -> Tensor:
    """(E,) unit: target minus source without templates, as the published evaluation measures along."""
    target, source = look_up(second_texts(attribute))["embedding"]
    return text_direction(target[None], source[None])
