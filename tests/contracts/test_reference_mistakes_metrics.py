"""Mistakes of the published metrics: each test fails if its mistake comes back."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from trainables.h_space.config import CellConfig, EvaluationConfig
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.evaluation import Evaluation, png
from trainables.h_space.losses import directional_loss
from trainables.h_space.metrics import METRICS, EditBatch, ImageMetric, Pictures
from trainables.h_space.perception import FeatureExtractor
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.set_features import Extractors, SetFeatures, image_set
from trainables.h_space.trajectories import load_cached, preparation_tasks, run_preparation
from trainables.h_space.yardsticks import Yardsticks, measured_metrics

CONFIG = {
    "domain": "avatars",
    "attribute": "smiling",
    "editor": {"kind": "conv"},
    "training": {"num_images": 1, "num_train_steps": 4, "t_edit": 500},
    "evaluation": {"num_images": 2, "num_sample_steps": 4, "num_preview_images": 0, "strengths": [0.0, 1.0]},
}


def push(h: Tensor, temb: Tensor, t: int) -> Tensor:
    return 0.3 * h.flip(1)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    for task in preparation_tasks(CellConfig.model_validate(CONFIG), folder):
        run_preparation(task, folder)
    return folder


def evaluation(cache_dir: Path, **settings: Any) -> Evaluation:
    config = CellConfig.model_validate(CONFIG)
    own = config.evaluation.model_dump() | settings
    config = config.model_copy(update={"evaluation": EvaluationConfig.model_validate(own)})
    domain = load_domain("avatars")
    texts = AttributeTexts.of(domain, config.edit)
    return Evaluation(config, domain, load_cached(config, "held_out", cache_dir), texts)


def test_pictures_are_never_their_own_negatives() -> None:
    """Reference: 8-bit values were read as floats, so that v became (256 - v) mod 256 before FID saw it."""
    ramp = torch.linspace(-1.2, 1.2, 256).expand(3, 16, 256)

    stored = png(ramp, "ramp")["bytes"]
    assert isinstance(stored, bytes)
    shades = np.asarray(Image.open(io.BytesIO(stored)))[0, :, 0].astype(int)

    assert (np.diff(shades) >= 0).all()
    assert (shades[0], shades[-1]) == (0, 255)

    clip = load_domain("avatars").clip
    flat = torch.linspace(-1, 1, 6).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    extractor = FeatureExtractor("CLIP", 64, lambda pictures: pictures.embedding)
    sets = SetFeatures(Extractors(extractor, extractor), measured_metrics(), [str(n) for n in range(6)])
    as_it_is = Pictures(flat, clip.image(flat))
    wrapped = Pictures(-flat + 2 / 255, clip.image(-flat + 2 / 255))
    sets.add(as_it_is, "original")
    sets.add(as_it_is, "reconstruction", 4)
    sets.add(as_it_is, "edit", 1.0, 4)
    sets.add(wrapped, "edit", -1.0, 4)
    (same,), (negative,) = sets.rows(1.0, 4), sets.rows(-1.0, 4)
    assert same["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert negative["frechet_distance"] > 1e-6


def test_s_dir_is_the_similarity_and_not_its_complement() -> None:
    """Reference: Table 2 printed 1 - cosine, so that the worst edit scored best."""
    domain = load_domain("avatars")
    attribute = CellConfig.model_validate(CONFIG).edit
    direction = AttributeTexts.of(domain, attribute).direction
    start = torch.nn.functional.normalize(
        torch.randn(1, 64, generator=torch.Generator().manual_seed(0)), dim=1
    )
    pixels = torch.zeros(1, 3, 32, 32)

    def s_dir(towards: Tensor) -> float:
        end = torch.nn.functional.normalize(start + 0.01 * towards, dim=1)
        batch = EditBatch(
            Pictures(pixels, start), Pictures(pixels, start), Pictures(pixels, end), None,
            direction, direction[None], domain.clip.perceptual_distance,
        )  # fmt: skip
        metric = METRICS["s_dir"]
        assert isinstance(metric, ImageMetric)
        found = metric.compute(batch)
        assert found is not None
        assert found.item() == pytest.approx(1 - directional_loss(end, start, direction).item(), abs=1e-6)
        return found.item()

    assert s_dir(direction) > 0.9
    assert s_dir(-direction) < -0.9
    assert METRICS["s_dir"].higher_is_better


def test_values_of_other_image_sets_or_boosts_carry_other_marks(cache_dir: Path) -> None:
    """Reference: Table 5 set FIDs side by side whose untouched reconstructions already differed."""
    rows = {
        name: [row for row in evaluation(cache_dir, **settings).run(push, 1)[0] if row["image_id"] is None]
        for name, settings in {"plain": {}, "boosted": {"t_boost": 600}}.items()
    }

    assert {row["t_boost"] for row in rows["plain"]} == {0}
    assert {row["t_boost"] for row in rows["boosted"]} == {600}
    assert {row["image_set"] for found in rows.values() for row in found} == {
        image_set(load_cached(CellConfig.model_validate(CONFIG), "test", cache_dir).image_ids)
    }
    assert image_set(["a", "b"]) != image_set(["a", "c"])
    assert image_set(["a", "b"]) != image_set(["a"])


def test_boost_noise_is_the_same_on_edits_and_reconstructions(cache_dir: Path) -> None:
    """Reference: noise was added to edits alone, which by itself moved FID; and an edit of strength 0 with noise was
    no reconstruction."""
    nothing = evaluation(cache_dir, t_boost=600).run(lambda h, temb, t: torch.zeros_like(h), 1)[0]

    edited = [row for row in nothing if row["strength"] == 1.0]
    untouched = [row for row in nothing if row["strength"] == 0.0]
    for edit, reconstruction in zip(edited, untouched, strict=True):
        for name in ("frechet_distance", "s_dir", "l1_distance"):
            assert edit.get(name) == pytest.approx(reconstruction.get(name), abs=1e-5)

    plain = evaluation(cache_dir).run(push, 1)[0]
    still = [row["s_dir"] for row in plain if row["image_id"] is not None and row["strength"] == 0.0]
    noisy = [row["s_dir"] for row in untouched if row["image_id"] is not None]
    assert noisy != pytest.approx(still, rel=1e-3)  # the noise is there, on both sides


def test_metrics_use_the_texts_of_the_attribute_that_was_trained() -> None:
    """Reference: rows labelled pixar were editors of neanderthal, measured along pixar's prompts."""
    domain = load_domain("avatars")
    config = CellConfig.model_validate(CONFIG)
    pixels = domain.load_images(domain.images.ids("test", 1, config.edit))

    for name in ("smiling", "goblin"):
        attribute = config.model_copy(update={"attribute": name}).edit
        texts = AttributeTexts.of(domain, attribute)
        tools = Yardsticks.of(domain, attribute, texts, offered=("smiling", "goblin", "tanned"))
        batch = tools.unedited(tools.pictures(pixels), tools.pictures(pixels), None)

        target, source = (
            domain.clip.text(domain.prompts(text)) for text in (attribute.target, attribute.source)
        )
        own = torch.nn.functional.normalize((target - source).mean(0), dim=0)
        torch.testing.assert_close(batch.text_direction, own)
        torch.testing.assert_close(batch.rival_texts[0], domain.clip.text([attribute.target])[0])
        torch.testing.assert_close(tools.shift_directions[tools.shift_names.index(name)], own)
        assert tools.shift_names[0] == name
        assert batch.other_directions is not None
        assert len(batch.other_directions) == 2
