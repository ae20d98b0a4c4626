"""Pretraining of the avatars' CLIP model: its pictures, its losses, and one step with every option on."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from trainables.h_space.clip import ClipModel
from trainables.h_space.domains.avatars.captions import Caption, caption
from trainables.h_space.domains.avatars.faces import Face, redraw, sample_face
from trainables.h_space.pretrain.avatars_clip import train_clip
from trainables.h_space.pretrain.avatars_clip_losses import (
    ClipLosses,
    contrastive_loss,
    direction_loss,
    truth,
)
from trainables.h_space.pretrain.avatars_clip_pictures import Edits, Pictures, drawn, random_batch, true_edits
from trainables.h_space.pretrain.avatars_clip_recipe import ClipTraining
from trainables.h_space.pretrain.pixels import augment, hardened, to_unit_range
from trainables.h_space.word_tokenizer import WordTokenizer

EVERYTHING = ClipTraining(
    num_steps=1,
    batch_size=6,
    num_warmup_steps=0,
    half_way=True,
    adversarial_radius=1.5,
    patch_dropout=0.5,
    num_edits=4,
)


@pytest.fixture(scope="module")
def pictures() -> list[Pictures]:
    persons = [sample_face(seed) for seed in range(4)]
    goblins = [redraw(face, {"kind": "goblin"}) for face in persons]
    return [drawn(faces, 0.5, half_way=True, num_processes=1) for faces in (persons, goblins)]


@pytest.fixture(scope="module")
def edits() -> Edits:
    return true_edits(1, num_processes=1)


@pytest.fixture(scope="module")
def shipped() -> ClipModel:
    with as_file(files("trainables.h_space.domains.avatars") / "weights" / "clip") as folder:
        return ClipModel.from_folder(Path(folder))


def test_trained_clip_loads_from_its_folder(pictures: list[Pictures], tmp_path: Path) -> None:
    train_clip(tmp_path, ClipTraining(num_steps=1, batch_size=4), pictures=pictures)

    clip = ClipModel.from_folder(tmp_path / "clip")

    assert clip.text(["a goblin"]).shape == (1, 64)


def test_a_seed_gives_the_same_weights_twice_with_every_option_on(
    pictures: list[Pictures], edits: Edits, tmp_path: Path
) -> None:
    train = partial(train_clip, tmp_path, pictures=pictures, edits=edits)
    before = torch.random.get_rng_state()

    first, other = train(EVERYTHING), train(replace(EVERYTHING, patch_dropout=0.25))
    with torch.random.fork_rng():
        torch.rand(1)  # the global generator stands elsewhere
        again = train(EVERYTHING)

    assert all(value.isfinite().all() for value in first.state_dict().values())
    assert _same_weights(first, again)
    assert not _same_weights(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_saved_clip_drops_no_patches(pictures: list[Pictures], edits: Edits, tmp_path: Path) -> None:
    trained = train_clip(tmp_path, EVERYTHING, pictures=pictures, edits=edits)
    x = to_unit_range(pictures[0].pixels)

    config = json.loads((tmp_path / "clip" / "open_clip_config.json").read_text(encoding="utf-8"))
    saved = open_clip.CLIP(**config["model_cfg"]).train()
    saved.load_state_dict(trained.state_dict())

    assert "patch_dropout" not in config["model_cfg"]["vision_cfg"]
    assert torch.allclose(saved.encode_image(x), trained.encode_image(x), atol=1e-6)


def test_half_way_pictures_lie_between_the_ordinary_face_and_the_unseen_kind(
    pictures: list[Pictures],
) -> None:
    persons, goblins = pictures
    faces, pixels = random_batch([goblins], 32, np.random.default_rng(0))
    rows = [goblins.faces.index(face) for face in faces]
    start, end = to_unit_range(persons.pixels[rows]), to_unit_range(goblins.pixels[rows])

    way = ((pixels - start) * (end - start)).sum((1, 2, 3)) / ((end - start) ** 2).sum((1, 2, 3))

    assert torch.allclose(pixels, start + way.view(-1, 1, 1, 1) * (end - start), atol=1e-5)
    assert 0.35 <= float(way.min()) < 0.9
    assert float(way.max()) == pytest.approx(1.0)
    assert persons.plain is None


def test_true_edits_show_every_attribute_but_the_colour_of_hair_that_is_not_there(edits: Edits) -> None:
    assert edits.before.shape == edits.after.shape == (len(edits.attributes), 32, 32, 3)
    assert edits.wanted.tolist() == list(range(len(edits.attributes)))
    shown = (edits.before != edits.after).any((1, 2, 3))
    names = {attribute.name for attribute, visible in zip(edits.attributes, shown, strict=True) if visible}
    assert names >= {attribute.name for attribute in edits.attributes} - {"blond_hair", "red_hair"}
    assert names > {"smiling", "goblin", "sketch"}


def test_truth_weighs_true_captions_by_what_they_say() -> None:
    faces = [Face(emotion="smiling"), Face(emotion="sad")]
    captions = [Caption("face"), Caption("smiling face", frozenset({("emotion", "smiling")}))]

    assert truth(captions, faces).tolist() == [[1.0, 3.0], [1.0, 0.0]]


def test_hardened_pictures_raise_the_loss_and_stay_within_the_radius() -> None:
    x = torch.randn(256, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    changed = hardened(x, lambda pictures: pictures.pow(4).sum(), 1.5, torch.Generator().manual_seed(1))

    lengths = (changed - x).flatten(1).norm(dim=1)
    assert (changed.pow(4).sum((1, 2, 3)) > x.pow(4).sum((1, 2, 3))).all()
    assert 1.4 < float(lengths.max()) <= 1.5 + 1e-5
    assert not changed.requires_grad


def test_adversary_raises_the_losses_of_the_shipped_model(
    shipped: ClipModel, pictures: list[Pictures], edits: Edits
) -> None:
    without = ClipTraining(batch_size=24, num_edits=24)
    against = replace(without, adversarial_radius=2.0)

    with torch.enable_grad():
        captions = [
            float(_losses(shipped, settings).of_captions(pictures)) for settings in (without, against)
        ]
        directions = [float(_losses(shipped, settings).of_edits(edits)) for settings in (without, against)]

    assert captions[0] < captions[1]
    assert directions[0] < directions[1]


def test_without_an_adversary_the_loss_is_that_of_the_augmented_pictures(
    shipped: ClipModel, pictures: list[Pictures]
) -> None:
    losses = _losses(shipped, ClipTraining(batch_size=8))
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    faces, pixels = random_batch(pictures, 8, rng)
    captions = [caption(face, rng) for face in faces]
    images = shipped.model.encode_image(augment(pixels, generator), normalize=True)
    texts = shipped.model.encode_text(shipped.tokenizer([c.text for c in captions]), normalize=True)
    scale = shipped.model.logit_scale.exp()

    loss = losses.of_captions(pictures)

    assert torch.equal(loss, contrastive_loss(images, texts, truth(captions, faces), scale))
    assert torch.equal(losses.generator.get_state(), generator.get_state())


def test_direction_loss_is_least_for_the_true_direction_and_chooses_among_attributes() -> None:
    text_directions = torch.eye(3)[:2]
    right, wrong = _direction_loss_along(0.0, text_directions), _direction_loss_along(90.0, text_directions)

    assert right(0) == pytest.approx(0 + math.log1p(math.exp(-10)), abs=1e-5)
    assert wrong(0) == pytest.approx(1 + 10 + math.log1p(math.exp(-10)), abs=1e-4)
    assert wrong(1) == pytest.approx(right(0), abs=1e-5)
    assert right(0) < _direction_loss_along(10.0, text_directions)(0) < wrong(0)


def test_direction_loss_weighs_the_way_and_not_its_length() -> None:
    short, far = (_direction_loss_along(30.0, torch.eye(3)[:2], length)(0) for length in (0.1, 1.5))

    assert short == pytest.approx(far, abs=1e-5)


def _direction_loss_along(
    degrees: float, text_directions: Tensor, length: float = 1.0
) -> Callable[[int], float]:
    """The loss of one picture that moves by so much, in the plane of the first two axes, turned from the first.

    Both ends are unit vectors: they lie opposite each other around the third axis.
    """
    angle = math.radians(degrees)
    step = torch.tensor([[math.cos(angle), math.sin(angle), 0.0]]) * length / 2
    height = torch.tensor([[0.0, 0.0, math.sqrt(1 - length**2 / 4)]])
    return lambda wanted: float(
        direction_loss(height - step, height + step, text_directions, torch.tensor([wanted]))
    )


def _losses(clip: ClipModel, settings: ClipTraining) -> ClipLosses:
    assert isinstance(clip.tokenizer, WordTokenizer)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    return ClipLosses(clip.model, clip.tokenizer, settings, rng, generator)


def _same_weights(a: open_clip.CLIP, b: open_clip.CLIP) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
