"""Held-out evaluation of an editor: edits at every strength, every metric per image, and the pictures to keep.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainables.attributes import ATTRIBUTES
from trainables.config import CellConfig
from trainables.diffusion import delta_h_scale, generate, timestep_sequence
from trainables.domains import Domain
from trainables.metrics import METRICS, EditBatch, Pictures
from trainables.prompts import AttributeTexts
from trainables.trajectories import CachedBatch, CachedImages

Row = dict[str, Any]
Editor = Callable[[Tensor, Tensor], Tensor]

IMAGES_PER_BATCH = 32
WEIGHT = "_weight"
"""Ends the name of the column that holds each image's weight in a metric's mean."""


class Evaluation:
    """The held-out images of a configuration and what is measured on them."""

    def __init__(
        self, config: CellConfig, domain: Domain, images: CachedImages, texts: AttributeTexts
    ) -> None:
        self._config = config
        self._settings = config.evaluation
        self._domain = domain
        self._images = images
        self._texts = texts
        self._attribute = ATTRIBUTES[config.attribute]

    @torch.no_grad()
    def run(self, editor: Editor, epoch: int) -> tuple[list[Row], list[Row], dict[str, float]]:
        """(evaluation rows, sample rows, summary): a row per image and strength; the summary is at the primary
        strength, `<metric>` the (weighted) mean and `<metric>_std` the standard deviation over images."""
        evaluations: list[Row] = []
        samples: list[Row] = []
        for start in range(0, len(self._images), IMAGES_PER_BATCH):
            rows = list(range(start, min(start + IMAGES_PER_BATCH, len(self._images))))
            batch = self._images.batch(rows)
            unedited = self._unedited(rows, batch)
            samples += self._fixed_samples(rows, unedited, epoch)
            for strength in self._settings.strengths:
                edit = self._pictures(self.edit(editor, batch, strength))
                evaluations += self._measure(rows, replace(unedited, edit=edit), strength, epoch)
                samples += self._edit_samples(rows, edit.pixels, strength, epoch)
        return evaluations, samples, self._summary(evaluations)

    @torch.no_grad()
    def edit(self, editor: Editor, batch: CachedBatch, strength: float) -> Tensor:
        """Edits (B, C, H, W) at a strength; at 0 the cached reconstruction, which plain generation equals."""
        if strength == 0:
            return batch.reconstruction.to(self._domain.device)
        return generate(
            self._domain.diffusion,
            batch.x_T.to(self._domain.device),
            timestep_sequence(self._settings.num_sample_steps),
            editor,
            strength_scale=delta_h_scale(
                strength, self._config.training.num_train_steps, self._settings.num_sample_steps
            ),
            t_edit=self._config.training.t_edit,
        )

    @torch.no_grad()
    def preview(self, editor: Editor, epoch: int) -> list[Row]:
        """The sample rows of the preview images at the primary strength, after an epoch that is not the last."""
        rows = list(range(self._settings.num_preview_images))
        if not rows:
            return []
        strength = self._settings.primary_strength
        return self._edit_samples(
            rows, self.edit(editor, self._images.batch(rows), strength), strength, epoch
        )

    def _pictures(self, pixels: Tensor) -> Pictures:
        return Pictures(pixels, self._domain.clip.image(pixels))

    def _unedited(self, rows: list[int], batch: CachedBatch) -> EditBatch:
        """What edits of every strength are compared with; its own edit is the reconstruction."""
        device = self._domain.device
        true_edits = self._domain.images.counterfactuals(self._ids(rows), self._attribute)
        reconstruction = self._pictures(batch.reconstruction.to(device))
        return EditBatch(
            original=Pictures(batch.original.to(device), batch.embedding.to(device)),
            reconstruction=reconstruction,
            edit=reconstruction,
            counterfactual=None if true_edits is None else self._pictures(true_edits.to(device)),
            text_direction=self._texts.direction,
            rival_texts=self._texts.rivals,
            distance=self._domain.clip.perceptual_distance,
        )

    def _ids(self, rows: list[int]) -> list[str]:
        return [self._images.image_ids[row] for row in rows]

    def _measure(self, rows: list[int], measured: EditBatch, strength: float, epoch: int) -> list[Row]:
        """One row per image: every metric that the domain can tell."""
        values = {name: metric.compute(measured) for name, metric in METRICS.items()}
        weighted = {name: metric.weight for name, metric in METRICS.items() if metric.weight is not None}
        values |= {f"{name}{WEIGHT}": weight(measured) for name, weight in weighted.items()}
        told = {name: value.tolist() for name, value in values.items() if value is not None}
        return [
            {
                **self._place(image_id, strength, epoch),
                **{name: column[position] for name, column in told.items()},
                "labels": json.dumps(dict(self._domain.images.labels(image_id)), sort_keys=True),
            }
            for position, image_id in enumerate(self._ids(rows))
        ]

    def _place(self, image_id: str, strength: float, epoch: int) -> Row:
        return {
            "epoch": epoch,
            "image_id": image_id,
            "strength": strength,
            "num_sample_steps": self._settings.num_sample_steps,
        }

    def _summary(self, evaluations: list[Row]) -> dict[str, float]:
        primary = [row for row in evaluations if row["strength"] == self._settings.primary_strength]
        summary = {}
        for name in METRICS.keys() & primary[0].keys():
            values = np.array([row[name] for row in primary])
            weights = np.array([row.get(f"{name}{WEIGHT}", 1.0) for row in primary])
            summary[name] = float(np.average(values, weights=weights))
            summary[f"{name}_std"] = float(values.std())
        return summary

    def _kept(self, rows: list[int]) -> list[tuple[int, str]]:
        """(position in the batch, id) of the preview images among these rows."""
        ids = self._images.image_ids
        return [
            (position, ids[row])
            for position, row in enumerate(rows)
            if row < self._settings.num_preview_images
        ]

    def _edit_samples(self, rows: list[int], edited: Tensor, strength: float, epoch: int) -> list[Row]:
        return [
            {
                "kind": "edit",
                **self._place(image_id, strength, epoch),
                "image": png(edited[position], image_id),
            }
            for position, image_id in self._kept(rows)
        ]

    def _fixed_samples(self, rows: list[int], unedited: EditBatch, epoch: int) -> list[Row]:
        """Original, reconstruction and true edit of the preview images."""
        kinds = {
            "original": unedited.original,
            "reconstruction": unedited.reconstruction,
            "counterfactual": unedited.counterfactual,
        }
        return [
            {
                "kind": kind,
                **self._place(image_id, 0.0, epoch),
                "image": png(pictures.pixels[position], image_id),
            }
            for kind, pictures in kinds.items()
            if pictures is not None
            for position, image_id in self._kept(rows)
        ]


def png(picture: Tensor, image_id: str) -> dict[str, bytes | str]:
    """A (C, H, W) picture in [-1, 1] as the image struct of Hugging Face datasets. Clipped, never wrapped."""
    pixels = (
        ((picture.detach().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": f"{image_id}.png"}
