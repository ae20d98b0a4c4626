"""The losses of the avatars' CLIP model: captions with claims, and the directions of true edits.

Many captions of a batch are true of many of its pictures ("a face" of all). The contrastive target
therefore spreads over every true pair, weighted by how much a caption says, instead of blaming the
model for pairs that are right.

Legend: B pictures and B captions of a batch; A attributes; D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.h_space.attributes import Attribute
from trainables.h_space.domains.avatars.captions import PROMPT_TEMPLATES, Caption, caption, visible_labels
from trainables.h_space.domains.avatars.faces import Face
from trainables.h_space.pretrain.avatars_clip_pictures import Edits, Pictures, edits_batch, random_batch
from trainables.h_space.pretrain.avatars_clip_recipe import ClipTraining
from trainables.h_space.pretrain.pixels import augment, hardened
from trainables.h_space.word_tokenizer import WordTokenizer

DIRECTION_TEMPERATURE: Final = 0.1


def truth(captions: Sequence[Caption], faces: Sequence[Face]) -> Tensor:
    """How much each caption says of each picture, 0 where it is false: (B faces, B captions)."""
    shown = [frozenset(visible_labels(face).items()) for face in faces]
    rows = [[1.0 + 2.0 * len(c.claims) if c.claims <= labels else 0.0 for c in captions] for labels in shown]
    return torch.tensor(rows)


def contrastive_loss(images: Tensor, texts: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy in both directions against the normalised truth.

    images, texts: (B, D) unit vectors; weights: (B, B) from `truth`; scale: the inverse temperature.
    """
    logits = scale * images @ texts.T  # (B images, B texts)
    to_texts = F.cross_entropy(logits, weights / weights.sum(1, keepdim=True))
    true = (weights > 0).float()
    to_images = F.cross_entropy(logits.T, true.T / true.T.sum(1, keepdim=True))
    return (to_texts + to_images) / 2


def direction_loss(before: Tensor, after: Tensor, text_directions: Tensor, wanted: Tensor) -> Tensor:
    """How far the way from a picture to its true edit is from what the texts say: the loss of an editor, and a choice.

        mean of 1 - cos(unit(after - before), own text direction) + cross entropy of choosing it among all A

    An editor goes where its directional loss is least (Kwon et al. 2023, section 3.3), so the true edit had better be
    that place. The choice is made with the cosines over DIRECTION_TEMPERATURE.
    before, after: (B, D) unit vectors; text_directions: (A, D) unit vectors; wanted: (B,) rows of it.
    """
    cosines = F.normalize(after - before, dim=-1) @ text_directions.T  # (B, A)
    own = cosines.gather(1, wanted[:, None])
    return (1 - own).mean() + F.cross_entropy(cosines / DIRECTION_TEMPERATURE, wanted)


@dataclass(frozen=True)
class ClipLosses:
    """The losses of one training run, each on a fresh random batch.

    The batch and its words are drawn from `rng`, what is done to its pictures from `generator`. Patch dropout, where
    the model has it, draws from torch's global generator.
    """

    model: open_clip.CLIP
    tokenizer: WordTokenizer
    settings: ClipTraining
    rng: np.random.Generator
    generator: torch.Generator

    def of_captions(self, pictures: Sequence[Pictures]) -> Tensor:
        """The contrastive loss of a batch of pictures and captions: a scalar."""
        faces, pixels = random_batch(pictures, self.settings.batch_size, self.rng)
        captions = [caption(face, self.rng) for face in faces]
        weights = truth(captions, faces)
        texts = self._texts([c.text for c in captions])
        scale = self.model.logit_scale.exp()

        def loss_of(pictures: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
            return contrastive_loss(self._images(pictures), texts, weights, scale)

        pixels = augment(pixels, self.generator)
        pixels = self._hardened(pixels, partial(loss_of, texts=texts.detach(), scale=scale.detach()))
        return loss_of(pixels, texts, scale)

    def of_edits(self, edits: Edits) -> Tensor:
        """The direction loss of a batch of true edits on their way: a scalar."""
        before, after, wanted = edits_batch(edits, self.settings.num_edits, self.rng)
        after = augment(after, self.generator)
        directions = self._text_directions(edits.attributes)
        origin = self._images(before)

        def loss_of(pictures: Tensor, origin: Tensor, directions: Tensor) -> Tensor:
            return direction_loss(origin, self._images(pictures), directions, wanted)

        given = partial(loss_of, origin=origin.detach(), directions=directions.detach())
        return loss_of(self._hardened(after, given), origin, directions)

    def _hardened(self, pixels: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """The pictures as they are where the settings ask for no adversary."""
        if self.settings.adversarial_radius > 0:
            return hardened(pixels, loss_of, self.settings.adversarial_radius, self.generator)
        return pixels

    def _text_directions(self, attributes: Sequence[Attribute]) -> Tensor:
        """(A, D) unit vectors from source to target text, in one prompt template drawn for the batch."""
        template = PROMPT_TEMPLATES[self.rng.integers(len(PROMPT_TEMPLATES))]
        texts = [
            template.format(text) for attribute in attributes for text in (attribute.source, attribute.target)
        ]
        sources, targets = self._texts(texts).view(len(attributes), 2, -1).unbind(1)
        return F.normalize(targets - sources, dim=-1)

    def _texts(self, texts: list[str]) -> Tensor:
        """(len(texts), D) unit vectors."""
        embeddings: Tensor = self.model.encode_text(self.tokenizer(texts), normalize=True)
        return embeddings

    def _images(self, pixels: Tensor) -> Tensor:
        """(B, D) unit vectors."""
        embeddings: Tensor = self.model.encode_image(pixels, normalize=True)
        return embeddings
