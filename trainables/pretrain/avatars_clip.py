"""Pretrain the avatars' CLIP model: every kind and style, captions with claims, half an hour on a CPU.

Many captions of a batch are true of many of its pictures ("a face" of all). The contrastive target
therefore spreads over every true pair, weighted by how much a caption says, instead of blaming the
model for pairs that are right.

Legend: B pictures and B captions of a batch.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import PatchDropout
from safetensors.torch import save_file
from torch import Tensor

from trainables.attributes import ATTRIBUTES, Attribute
from trainables.clip import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from trainables.domains.avatars.captions import PROMPT_TEMPLATES, Caption, caption, visible_labels, vocabulary
from trainables.domains.avatars.drawing import SIZE, Picture, draw_faces
from trainables.domains.avatars.faces import EMOTIONS, KINDS, TRAIN_SEEDS, Face, redraw, sample_face
from trainables.pretrain.avatars_unet import to_unit_range
from trainables.word_tokenizer import WordTokenizer

Log = Callable[[str], None]

CONTEXT_LENGTH: Final = 24
MEAN: Final = (0.5, 0.5, 0.5)
STD: Final = (0.5, 0.5, 0.5)
MAX_SCALE: Final = 30.0  # of the inverse temperature; training ends at 16
STYLED: Final = ("pixel_art", "sketch")
HALF_WAY: Final = (0.35, 1.0)
"""How far a picture that is on its way from an ordinary face may be and still be called what it becomes."""
ON_THE_WAY: Final = (0.15, 1.0)
"""How far the edits of `direction_loss` have come: their direction is that of the whole way."""
DIRECTION_TEMPERATURE: Final = 0.1


@dataclass(frozen=True)
class ClipTraining:
    """How long and how the CLIP model is trained."""

    num_steps: int = 700
    batch_size: int = 160
    learning_rate: float = 1e-3
    num_warmup_steps: int = 100
    weight_decay: float = 0.05
    num_persons: int = 24_000
    num_unseen: int = 8_000
    num_styled: int = 5_000
    half_way: bool = False
    """Whether half of the pictures of unseen kinds and styles are mixed with the ordinary face they come from."""
    adversarial_radius: float = 0.0
    """Largest length of the change that is sought against the model in each picture (see `hardened`); 0: none."""
    patch_dropout: float = 0.0
    """Of the patches of each picture, how many are left out: a goblin's eyes alone shall not say goblin."""
    num_edits: int = 0
    """Pictures of a batch that come with their true edit, for `direction_loss`."""
    seed: int = 0


PHASES: Final = (
    ClipTraining(),
    ClipTraining(num_steps=250, learning_rate=5e-4, half_way=True, seed=1),
    ClipTraining(
        num_steps=300, learning_rate=5e-4, num_warmup_steps=30, half_way=True, adversarial_radius=1.5, seed=2
    ),
    ClipTraining(
        num_steps=250,
        learning_rate=5e-4,
        num_warmup_steps=30,
        half_way=True,
        adversarial_radius=2.5,
        patch_dropout=0.5,
        seed=3,
    ),
    ClipTraining(
        num_steps=250,
        batch_size=96,
        learning_rate=5e-4,
        half_way=True,
        adversarial_radius=2.0,
        patch_dropout=0.3,
        num_edits=64,
        seed=4,
    ),
    ClipTraining(
        num_steps=200,
        batch_size=96,
        learning_rate=4e-4,
        num_warmup_steps=50,
        half_way=True,
        adversarial_radius=1.5,
        patch_dropout=0.15,
        num_edits=96,
        seed=5,
    ),
)
"""The recipe of the shipped weights: each phase starts from the weights of the one before."""


@dataclass(frozen=True)
class Pictures:
    """Faces with their pictures and the share of a batch that comes from them."""

    faces: Sequence[Face]
    pixels: Picture
    share: float
    plain: Picture | None = None
    """The same faces as ordinary persons, where half of the pictures are to be mixed with them: an edit is judged
    on its way too, and a model that knows only finished goblins gives it no direction there."""


@dataclass(frozen=True)
class Edits:
    """Faces that lack an attribute, and the same faces with it."""

    attributes: Sequence[Attribute]
    wanted: npt.NDArray[np.int64]
    """(N,) rows of `attributes`."""
    before: Picture
    after: Picture


def model_config(vocab_size: int) -> dict[str, object]:
    """open_clip's own configuration of a CLIP of 0.8 million parameters."""
    return {
        "embed_dim": 64,
        "vision_cfg": {"image_size": SIZE, "patch_size": 4, "width": 96, "layers": 4, "head_width": 32},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "width": 96,
            "heads": 3,
            "layers": 3,
        },
    }


def training_faces(settings: ClipTraining) -> list[tuple[list[Face], float]]:
    """Ordinary faces, unseen kinds, and other styles, with their shares of a batch."""
    first, second = settings.num_persons, settings.num_persons + settings.num_unseen
    persons = [sample_face(seed) for seed in TRAIN_SEEDS[:first]]
    unseen = [sample_face(seed, kinds=KINDS[1:], emotions=EMOTIONS) for seed in TRAIN_SEEDS[first:second]]
    styled_seeds = TRAIN_SEEDS[second : second + settings.num_styled]
    kinds = ("person",) * 9 + KINDS[1:]
    styled = [sample_face(seed, kinds=kinds, styles=STYLED, emotions=EMOTIONS) for seed in styled_seeds]
    return [(persons, 0.5), (unseen, 0.32), (styled, 0.18)]


def train_clip(
    out: Path,
    settings: ClipTraining,
    *,
    start: open_clip.CLIP | None = None,
    pictures: Sequence[Pictures] | None = None,
    edits: Edits | None = None,
    log: Log = print,
) -> open_clip.CLIP:
    """Train from scratch or from the weights of `start`.

    Writes `out/clip` in open_clip's layout, with our `vocab.txt`.
    """
    if pictures is None:
        pictures = [drawn(faces, share, settings.half_way) for faces, share in training_faces(settings)]
    if edits is None and settings.num_edits > 0:
        edits = true_edits()
    tokenizer = WordTokenizer(vocabulary(), CONTEXT_LENGTH)
    config = model_config(tokenizer.vocab_size)
    model = _seeded_clip(config, settings.seed)
    if start is not None:
        model.load_state_dict(start.state_dict())
    model.visual.patch_dropout = PatchDropout(settings.patch_dropout)  # not in the config: of training only
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    rng = np.random.default_rng(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    started_at = time.monotonic()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # PatchDropout draws from the global generator
        for step in range(settings.num_steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _learning_rate_factor(step, settings)
            loss = _batch_loss(model, tokenizer, pictures, settings, rng, generator)
            if edits is not None:
                loss = loss + _edits_loss(model, tokenizer, edits, settings, rng, generator)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=math.log(MAX_SCALE))
            if (step + 1) % 50 == 0:
                per_step = (time.monotonic() - started_at) / (step + 1)
                log(
                    f"step {step + 1}/{settings.num_steps} loss {float(loss.detach()):.4f} {per_step:.3f} s/step"
                )
    save_clip(model, tokenizer, config, out / "clip")
    return model.eval()


def drawn(faces: Sequence[Face], share: float, half_way: bool = False) -> Pictures:
    """Faces with their pictures; with `half_way` those that are no ordinary persons are drawn as such too."""
    plain = [redraw(face, {"kind": "person", "style": "plain"}) for face in faces]
    pixels = draw_faces(faces, num_processes=2)
    if not half_way or plain == list(faces):
        return Pictures(faces, pixels, share)
    return Pictures(faces, pixels, share, draw_faces(plain, num_processes=2))


def true_edits(num_faces: int = 250) -> Edits:
    """As many training faces for each attribute that can be drawn."""
    attributes = [attribute for attribute in ATTRIBUTES.values() if attribute.redraw]
    before: list[Face] = []
    after: list[Face] = []
    for attribute in attributes:
        faces = map(sample_face, TRAIN_SEEDS)
        pairs = ((face, redraw(face, attribute.redraw)) for face in faces)
        chosen = list(islice((pair for pair in pairs if pair[0] != pair[1]), num_faces))
        before.extend(face for face, _ in chosen)
        after.extend(edit for _, edit in chosen)
    wanted = np.repeat(np.arange(len(attributes)), num_faces)
    return Edits(attributes, wanted, draw_faces(before, num_processes=2), draw_faces(after, num_processes=2))


def save_clip(
    model: open_clip.CLIP, tokenizer: WordTokenizer, config: dict[str, object], folder: Path
) -> None:
    """Write config, weights and vocabulary; the weights appear last and whole."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"size": SIZE, "mode": "RGB", "mean": MEAN, "std": STD, "interpolation": "bicubic"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / VOCABULARY_FILE).write_text("\n".join(tokenizer.words) + "\n", encoding="utf-8")
    scratch = folder / (WEIGHTS_FILE + ".part")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, scratch)
    scratch.chmod(0o644)  # safetensors writes files that only their owner can read
    scratch.replace(folder / WEIGHTS_FILE)


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


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Noise, blur and a shift of colours, since the model also judges the soft P_t of a trajectory.

    (B, 3, H, W) in [-1, 1]; each picture has its own strength, and a third stays as it was.
    """
    size = (x.shape[0], 1, 1, 1)
    strength = (torch.rand(size, generator=generator) * 1.5 - 0.5).clamp(min=0)
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    amount = torch.rand(size, generator=generator) * strength
    x = x + amount * (blurred - x)
    colour = 1 + 0.1 * strength * torch.randn((x.shape[0], 3, 1, 1), generator=generator)
    brightness = 0.1 * strength * torch.randn(size, generator=generator)
    noise_level = 0.25 * strength * torch.rand(size, generator=generator)
    noise = noise_level * torch.randn(x.shape, generator=generator)
    return x * colour + brightness + noise


def hardened(
    x: Tensor, loss_of: Callable[[Tensor], Tensor], radius: float, generator: torch.Generator
) -> Tensor:
    """The pictures with a small change that raises the loss: one step from a random start.

    Wong et al. 2020, section 4.1, with L2 in place of the largest value.

    An editor climbs this model's gradient. Where a model has never met its own adversaries, that gradient leads to
    specks that no person sees; where it has, to what the words mean (Tsipras et al. 2019, section 3).

    x: (B, 3, H, W). The changes are at most `radius` long, each picture's bound uniform below it.
    """
    size = (x.shape[0], 1, 1, 1)
    bound = radius * torch.rand(size, generator=generator)
    start = (x + _of_length(torch.randn(x.shape, generator=generator), bound / 2)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss_of(start), start)
    change = start.detach() - x + _of_length(gradient, bound)
    return x + _of_length(change, torch.minimum(bound, _lengths(change)))


def _of_length(x: Tensor, length: Tensor) -> Tensor:
    return x * length / _lengths(x).clamp(min=1e-12)


def _lengths(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)


def direction_loss(before: Tensor, after: Tensor, text_directions: Tensor, wanted: Tensor) -> Tensor:
    """How far the way from a picture to its true edit is from what the texts say: the loss of an editor, and a choice.

    An editor goes where its directional loss is least (Kwon et al. 2023, section 3.3), so the true edit had better be
    that place. 1 - cosine with its own attribute's text direction, and the cross entropy of choosing it among all.
    before, after: (B, D) unit vectors; text_directions: (A, D) unit vectors; wanted: (B,) rows of it.
    """
    cosines = F.normalize(after - before, dim=-1) @ text_directions.T  # (B, A)
    own = cosines.gather(1, wanted[:, None])
    return (1 - own).mean() + F.cross_entropy(cosines / DIRECTION_TEMPERATURE, wanted)


def _edits_loss(
    model: open_clip.CLIP,
    tokenizer: WordTokenizer,
    edits: Edits,
    settings: ClipTraining,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    rows = rng.integers(len(edits.wanted), size=settings.num_edits)
    before, after = to_unit_range(edits.before[rows]), to_unit_range(edits.after[rows])
    amounts = torch.from_numpy(rng.uniform(*ON_THE_WAY, size=len(rows))).float().view(-1, 1, 1, 1)
    after = augment(before.lerp(after, amounts), generator)
    template = PROMPT_TEMPLATES[rng.integers(len(PROMPT_TEMPLATES))]
    texts = [
        template.format(text)
        for attribute in edits.attributes
        for text in (attribute.source, attribute.target)
    ]
    sources, targets = (
        model.encode_text(tokenizer(texts), normalize=True).view(len(edits.attributes), 2, -1).unbind(1)
    )
    directions = F.normalize(targets - sources, dim=-1)
    origin = model.encode_image(before, normalize=True)
    wanted = torch.from_numpy(edits.wanted[rows])

    def loss_of(pictures: Tensor, origin: Tensor, directions: Tensor) -> Tensor:
        return direction_loss(origin, model.encode_image(pictures, normalize=True), directions, wanted)

    if settings.adversarial_radius > 0:
        given = partial(loss_of, origin=origin.detach(), directions=directions.detach())
        after = hardened(after, given, settings.adversarial_radius, generator)
    return loss_of(after, origin, directions)


def _batch_loss(
    model: open_clip.CLIP,
    tokenizer: WordTokenizer,
    pictures: Sequence[Pictures],
    settings: ClipTraining,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    faces, pixels = _random_batch(pictures, settings.batch_size, rng)
    captions = [caption(face, rng) for face in faces]
    weights = truth(captions, faces)
    texts = model.encode_text(tokenizer([c.text for c in captions]), normalize=True)
    scale = model.logit_scale.exp()

    def loss_of(pictures: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        return contrastive_loss(model.encode_image(pictures, normalize=True), texts, weights, scale)

    pixels = augment(pixels, generator)
    if settings.adversarial_radius > 0:
        given = partial(loss_of, texts=texts.detach(), scale=scale.detach())
        pixels = hardened(pixels, given, settings.adversarial_radius, generator)
    return loss_of(pixels, texts, scale)


def _random_batch(
    pictures: Sequence[Pictures], size: int, rng: np.random.Generator
) -> tuple[list[Face], Tensor]:
    """Faces and their pixels, (size, 3, 32, 32) in [-1, 1], in the shares that `pictures` say."""
    counts = rng.multinomial(size, [source.share for source in pictures])
    faces: list[Face] = []
    pixels = []
    for source, count in zip(pictures, counts, strict=True):
        rows = rng.integers(len(source.faces), size=count)
        faces.extend(source.faces[row] for row in rows)
        pixels.append(_half_way(source, rows, rng))
    return faces, torch.cat(pixels)


def _half_way(source: Pictures, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Tensor:
    """The pictures of these rows, half of them mixed with their ordinary faces where there are any."""
    pixels = to_unit_range(source.pixels[rows])
    if source.plain is None:
        return pixels
    amounts = np.where(rng.random(len(rows)) < 0.5, rng.uniform(*HALF_WAY, size=len(rows)), 1.0)
    return to_unit_range(source.plain[rows]).lerp(pixels, torch.from_numpy(amounts).float().view(-1, 1, 1, 1))


def _seeded_clip(config: dict[str, object], seed: int) -> open_clip.CLIP:
    # open_clip initialises from the global generator: fork it, so that nobody else's stream moves.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return cast(open_clip.CLIP, open_clip.CLIP(**config))


def _learning_rate_factor(step: int, settings: ClipTraining) -> float:
    if step < settings.num_warmup_steps:
        return (step + 1) / settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(1, settings.num_steps - settings.num_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
