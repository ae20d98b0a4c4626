"""Held-out evaluation of an editor: edits at every strength and step count, every metric, and the pictures to keep.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import Editor, generate
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import Domain
from trainables.h_space.mean_delta_h import global_mean_editor, mean_editor
from trainables.h_space.metrics import WEIGHT, EditBatch, ImageMetric, Pictures, SetMetric
from trainables.h_space.metrics.leakage import attribute_shifts
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.references import Lookup
from trainables.h_space.set_features import Extractors, SetFeatures
from trainables.h_space.subgroups import Subgroups
from trainables.h_space.timesteps import delta_h_scale, timestep_sequence, training_timesteps
from trainables.h_space.trajectories import CachedBatch, CachedImages
from trainables.h_space.unedited import (
    Asked,
    KeptPictures,
    Kind,
    batches,
    counterfactuals,
    originals,
    seen,
)
from trainables.h_space.yardsticks import Yardsticks
from trainables.randomness import generator_for
from trainables.trials import Row


class EvaluatedImages(Protocol):
    """Held-out images as an evaluation reads them; `trainables.h_space.trajectories.CachedImages` is one."""

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Ids of the images, in their order."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int]) -> CachedBatch:
        """The images at these positions."""


class Evaluation:
    """The held-out images of a configuration and what is measured on them.

    Edits are made and measured in the configuration's precision, what they are compared with in float32.

    `train_images` are needed for `evaluation.delta_h` other than predicted, `seed` for the noise of `t_boost`. What is
    measured along is read by `look_up`, unedited pictures are found in `kept`; what is not there is computed here.
    Raises ValueError for an optional metric that does not exist, or features that the domain does not have, OSError for
    a file of subgroups that is not there.
    """

    def __init__(
        self,
        config: CellConfig,
        domain: Domain,
        images: EvaluatedImages,
        texts: AttributeTexts,
        *,
        seed: int = 0,
        train_images: CachedImages | None = None,
        look_up: Lookup | None = None,
        kept: KeptPictures | None = None,
    ) -> None:
        self._config = config
        self._settings = config.evaluation
        self._domain = domain
        self._lowered = lowered = domain.at(config.precision)
        self._images = images
        self._seed = seed
        self._train_images = train_images
        self._kept_pictures = kept
        self._asked = Asked.of(self._settings, domain_summary(config.domain).offers)
        self._extractors = Extractors.of(lowered, self._settings.fid_features, texts.rivals.shape[1])
        self._subgroups = Subgroups(domain, self._settings)
        self._yardsticks = Yardsticks.of(
            lowered,
            config.edit,
            texts,
            optional_metrics=self._settings.metrics,
            offered=domain_summary(config.domain).attributes,
            look_up=look_up,
        )

    @torch.no_grad()
    def run(self, editor: Editor, epoch: int) -> tuple[list[Row], list[Row], dict[str, float]]:
        """(evaluation rows, sample rows, summary).

        A row per image, strength and step count, and rows without an image for the metrics of the whole set and of
        each subgroup. The summary is of all images at the primary strength and step count, `<metric>` the (weighted)
        mean and `<metric>_std` the standard deviation over images.
        """
        editor = self._acting(editor)
        evaluations: list[Row] = []
        samples: list[Row] = []
        sets = self._set_features()
        for rows in map(list, batches(len(self._images))):
            batch = self._images.batch(rows)
            for steps in self._settings.all_sample_steps:
                unedited = self.unedited(rows, batch, steps)
                sets.add(unedited.reconstruction, "reconstruction", steps)
                if steps == self._settings.num_sample_steps:
                    sets.add(unedited.original, "original")
                    samples += self._fixed_samples(rows, unedited, epoch)
                for strength in self._settings.strengths:
                    place = self._place(epoch, strength, steps)
                    measured = self._edited(editor, rows, batch, unedited, strength, steps)
                    sets.add(measured.edit, "edit", strength, steps)
                    evaluations += self._measure(rows, measured, place)
                    samples += self._edit_samples(rows, measured.edit.pixels, place)
        samples += self._shown_samples(editor, epoch)
        evaluations += self._set_rows(sets, epoch)
        return evaluations, samples, self._summary(evaluations)

    @torch.no_grad()
    def preview(self, editor: Editor, epoch: int) -> list[Row]:
        """The sample rows of the preview images at the primary strength, after an epoch that is not the last."""
        rows = list(range(self._settings.num_preview_images))
        if not rows:
            return []
        strength = self._settings.primary_strength
        place = self._place(epoch, strength, self._settings.num_sample_steps)
        return self._edit_samples(rows, self.edit(editor, rows, strength), place)

    @torch.no_grad()
    def edit(self, editor: Editor, rows: list[int], strength: float) -> Tensor:
        """Edits (B, C, H, W) of the images at these positions, at the primary step count."""
        steps = self._settings.num_sample_steps
        return self._generate(rows, self._images.batch(rows), steps, self._acting(editor), strength)

    def notes(self) -> list[str]:
        """What a reader of the values should know."""
        return self._set_features().notes()

    def _set_features(self) -> SetFeatures:
        ids = self._images.image_ids
        return SetFeatures(self._extractors, self._yardsticks.metrics, ids, self._subgroups.positions(ids))

    def _acting(self, editor: Editor) -> Editor:
        """The editor that edits: the given one, or its mean over the training images."""
        if self._settings.delta_h == "predicted":
            return editor
        if self._train_images is None:
            raise ValueError(f"evaluation.delta_h {self._settings.delta_h} needs the training images")
        images, training = self._train_images, self._config.training
        x_Ts = (images.batch(rows).x_T for rows in batches(len(images)))
        average = mean_editor if self._settings.delta_h == "mean" else global_mean_editor
        timesteps = training_timesteps(
            training.num_train_steps, training.lowest_t, self._domain.diffusion.t_max
        )
        return average(self._lowered.diffusion, editor, x_Ts, timesteps)

    def _generate(
        self, rows: list[int], batch: CachedBatch, steps: int, editor: Editor | None, strength: float
    ) -> Tensor:
        """Edits (B, C, H, W) at a strength, or reconstructions without an editor: from the same x_T, with the same
        noise where the quality is boosted."""
        domain = self._domain if editor is None else self._lowered
        t_boost = self._settings.t_boost
        noise = [generator_for(self._seed, f"boost noise of {image_id}") for image_id in self._ids(rows)]
        x_0 = generate(
            domain.diffusion,
            batch.x_T.to(domain.device),
            timestep_sequence(steps, domain.diffusion.t_max),
            editor,
            strength_scale=delta_h_scale(strength, self._config.training.num_train_steps, steps),
            t_edit=self._config.training.lowest_t,
            t_boost=t_boost,
            noise_generator=noise if t_boost else None,
        )
        return domain.to_pictures(x_0)

    @torch.no_grad()
    def unedited(self, rows: list[int], batch: CachedBatch, steps: int) -> EditBatch:
        """What edits of every strength are compared with; its own edit is the reconstruction."""
        domain, ids, asked = self._domain, self._ids(rows), self._asked
        pixels, embedding = batch.original.to(domain.device), batch.embedding.to(domain.device)
        original = self._found("original", ids, pixels=pixels, embedding=embedding) or originals(
            domain, ids, pixels, embedding, asked
        )
        edit = self._config.edit
        true_edit = self._found("counterfactual", ids) or counterfactuals(domain, ids, edit, asked)
        return self._yardsticks.unedited(original, self._reconstruction(rows, batch, steps), true_edit)

    def _reconstruction(self, rows: list[int], batch: CachedBatch, steps: int) -> Pictures:
        is_cached = steps == self._settings.num_sample_steps and self._settings.t_boost == 0
        cached = {"pixels": batch.reconstruction.to(self._domain.device)} if is_cached else {}
        if (found := self._found("reconstruction", self._ids(rows), steps, **cached)) is not None:
            return found
        pixels = cached["pixels"] if is_cached else self._generate(rows, batch, steps, None, 0.0)
        return seen(self._domain, pixels, self._asked)

    def _found(self, kind: Kind, ids: Sequence[str], num_steps: int = 0, **cached: Tensor) -> Pictures | None:
        """Pictures that preparation has left."""
        kept = self._kept_pictures
        return None if kept is None else kept.find(self._domain.device, kind, ids, num_steps, **cached)

    def _edited(
        self,
        editor: Editor,
        rows: list[int],
        batch: CachedBatch,
        unedited: EditBatch,
        strength: float,
        steps: int,
    ) -> EditBatch:
        """The edits at a strength; at 0 the reconstruction, which plain generation equals."""
        if strength == 0:
            return unedited
        pixels = self._generate(rows, batch, steps, editor, strength)
        return replace(unedited, edit=self._yardsticks.pictures(pixels))

    def _ids(self, rows: list[int]) -> list[str]:
        return [self._images.image_ids[row] for row in rows]

    def _measure(self, rows: list[int], measured: EditBatch, place: Row) -> list[Row]:
        """One row per image: every metric that the domain can tell."""
        metrics = [metric for metric in self._yardsticks.metrics if isinstance(metric, ImageMetric)]
        values = {metric.name: metric.compute(measured) for metric in metrics}
        values |= {
            f"{metric.name}{WEIGHT}": metric.weight(measured)
            for metric in metrics
            if metric.weight is not None
        }
        told = {name: value.tolist() for name, value in values.items() if value is not None}
        shifts = attribute_shifts(measured, self._yardsticks.shift_directions).tolist()
        names = self._yardsticks.shift_names
        return [
            {
                **place,
                "image_id": image_id,
                **{name: column[position] for name, column in told.items()},
                "labels": _json(self._subgroups.labels(image_id)),
                "attribute_shifts": _json(dict(zip(names, shifts[position], strict=True))),
            }
            for position, image_id in enumerate(self._ids(rows))
        ]

    def _set_rows(self, sets: SetFeatures, epoch: int) -> list[Row]:
        """The rows without an image, at each strength and step count; none where there are too few images."""
        return [
            {**self._place(epoch, strength, steps), "image_id": None, **row}
            for steps in self._settings.all_sample_steps
            for strength in self._settings.strengths
            for row in sets.rows(strength, steps)
        ]

    def _place(self, epoch: int, strength: float, num_sample_steps: int) -> Row:
        return {
            "epoch": epoch,
            "strength": strength,
            "num_sample_steps": num_sample_steps,
            "t_boost": self._settings.t_boost,
        }

    def _summary(self, evaluations: list[Row]) -> dict[str, float]:
        """Metrics over all images at the primary strength and step count."""
        place = (self._settings.primary_strength, self._settings.num_sample_steps, None)
        primary = [
            row
            for row in evaluations
            if (row["strength"], row["num_sample_steps"], row.get("subgroup")) == place
        ]
        summary = {}
        for metric in self._yardsticks.metrics:
            name = metric.name
            told = [row for row in primary if name in row]
            if not told:
                continue
            if isinstance(metric, SetMetric):
                summary[name] = float(told[0][name])
                continue
            values = np.array([row[name] for row in told])
            weights = np.array([row.get(f"{name}{WEIGHT}", 1.0) for row in told])
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

    def _edit_samples(self, rows: list[int], edited: Tensor, place: Row) -> list[Row]:
        return [_sample("edit", image_id, edited[position], place) for position, image_id in self._kept(rows)]

    def _shown_samples(self, editor: Editor, epoch: int) -> list[Row]:
        """The preview images at strengths that are not measured."""
        steps = self._settings.num_sample_steps
        found: list[Row] = []
        for rows in map(list, batches(self._settings.num_preview_images)):
            batch = self._images.batch(rows)
            for strength in self._settings.preview_strengths:
                edited = self._generate(rows, batch, steps, editor, strength)
                found += self._edit_samples(rows, edited, self._place(epoch, strength, steps))
        return found

    def _fixed_samples(self, rows: list[int], unedited: EditBatch, epoch: int) -> list[Row]:
        """Original, reconstruction and true edit of the preview images."""
        place = self._place(epoch, 0.0, self._settings.num_sample_steps)
        kinds = {
            "original": unedited.original,
            "reconstruction": unedited.reconstruction,
            "counterfactual": unedited.counterfactual,
        }
        return [
            _sample(kind, image_id, pictures.pixels[position], place)
            for kind, pictures in kinds.items()
            if pictures is not None
            for position, image_id in self._kept(rows)
        ]


def _sample(kind: str, image_id: str, picture: Tensor, place: Row) -> Row:
    return {
        "kind": kind,
        "image_id": image_id,
        **{name: place[name] for name in ("epoch", "strength", "num_sample_steps")},
        "image": png(picture, image_id),
    }


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(dict(values), sort_keys=True)


def png(picture: Tensor, image_id: str) -> dict[str, bytes | str]:
    """A (C, H, W) picture in [-1, 1] as the image struct of Hugging Face datasets. Clipped, never wrapped."""
    pixels = (
        ((picture.detach().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": f"{image_id}.png"}
