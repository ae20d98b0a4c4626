"""A frozen CLIP model: unit embeddings of pictures and texts, and a perceptual distance of its own.

Legend: B pictures, N texts, H x W pixels in [-1, 1], D embedding width, T image tokens, W token width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zipfile import is_zipfile

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.serialization import config

from trainables.digests import file_digest, remembered
from trainables.h_space.clip_folder import (
    CONFIG_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    ClipNotFoundError,
    check_clip_folder,
)
from trainables.h_space.lowering import computing_in
from trainables.h_space.precision import Precision
from trainables.h_space.undrawn import Undrawn, align
from trainables.h_space.word_tokenizer import WordTokenizer

if TYPE_CHECKING:  # Imported by what loads a model: it takes seconds, and plans need none.
    import open_clip

Tokenizer = Callable[[list[str]], Tensor]


class ClipModel:
    """A CLIP model that is never trained: eval mode, no gradient to its weights, gradient to its input."""

    def __init__(
        self,
        model: open_clip.CLIP,
        tokenizer: Tokenizer,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        digest: Callable[[], str],
        is_mapped: bool = False,
    ) -> None:
        """`is_mapped`: texts are embedded with weights that `align` moves, which it does where there are any."""
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self._digest = cache(digest)
        self._is_mapped = is_mapped
        self.precision: Precision = "float32"
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)

    @classmethod
    def from_folder(cls, folder: Path) -> ClipModel:
        """Load a folder in open_clip's own layout; our word tokenizer where it has a `vocab.txt`."""
        import open_clip

        config = check_clip_folder(folder)
        config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
        try:
            model = _with_weights(config["model_cfg"], load_file(weights_path))
        except (RuntimeError, TypeError) as error:
            raise ClipNotFoundError(f"{weights_path} does not fit {config_path.name}: {error}") from error
        vocabulary_path = folder / VOCABULARY_FILE
        files = [config_path, weights_path]
        if vocabulary_path.is_file():
            files.append(vocabulary_path)
            tokenizer: Tokenizer = WordTokenizer.from_file(vocabulary_path, model.context_length)
        else:
            tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
        preprocess = config["preprocess_cfg"]
        return cls(
            model,
            tokenizer,
            mean=preprocess["mean"],
            std=preprocess["std"],
            digest=partial(file_digest, *files),
        )

    @classmethod
    def from_pretrained(cls, model_name: str, pretrained: str) -> ClipModel:
        """Load a published open_clip model; `pretrained` is one of its tags or a local weights file."""
        import open_clip

        file = Path(pretrained)
        try:
            with Undrawn(), _mapping(file):
                model, _, _ = open_clip.create_model_and_transforms(model_name, pretrained=pretrained)
        except (OSError, RuntimeError) as error:
            raise ClipNotFoundError(
                f"open_clip {model_name!r} with pretrained {pretrained!r} is neither on this machine nor "
                f"downloadable from here ({type(error).__name__}). Download it where there is a network, and "
                "give the path of the weights file as `pretrained`, or a folder in open_clip's layout."
            ) from error
        model = cast("open_clip.CLIP", model)
        align(model.visual)

        def digest() -> str:
            whole = hashlib.sha256(model_name.encode())
            for name, value in model.state_dict().items():
                whole.update(f"{name} ".encode() + value.cpu().numpy().tobytes())
            return whole.hexdigest()

        return cls(
            model,
            open_clip.get_tokenizer(model_name),
            mean=open_clip.get_model_preprocess_cfg(model)["mean"],
            std=open_clip.get_model_preprocess_cfg(model)["std"],
            digest=partial(remembered, f"CLIP {model_name}", [file], digest) if file.is_file() else digest,
            is_mapped=True,
        )

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights, and of what else decides embeddings. Reads all of them, those of texts as well."""
        return self._digest()

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that the image tower reads, in pixels."""
        size = self.model.visual.image_size
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    def image(self, x: Tensor) -> Tensor:
        """Unit embeddings of pictures: (B, 3, H, W) in [-1, 1] -> (B, D)."""
        pixels = self._prepare(x)
        with computing_in(self.precision, self._device):
            features = self.model.encode_image(pixels)
        return F.normalize(features.float(), dim=-1)

    def text(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings of texts: N strings -> (N, D)."""
        if self._is_mapped:
            align(self.model)
        self.model.to(self._device)
        tokens = self.tokenizer(list(texts)).to(self._device)
        with torch.no_grad():
            return cast(Tensor, self.model.encode_text(tokens, normalize=True))

    def image_features(self, x: Tensor) -> list[Tensor]:
        """The image tokens after every block: (B, 3, H, W) in [-1, 1] -> a (B, T, W) for each.

        Of a ResNet, the positions after its stem and after every stage, each as wide as the stage.
        """
        from open_clip.modified_resnet import ModifiedResNet

        visual: Any = self.model.visual
        is_resnet = isinstance(visual, ModifiedResNet)
        pixels = self._prepare(x)
        with computing_in(self.precision, self._device):
            found = visual.forward_intermediates(
                pixels,
                output_fmt="NCHW" if is_resnet else "NLC",
                normalize_intermediates=False,
                intermediates_only=True,
            )
        features = [one.float() for one in found["image_intermediates"]]
        return [one.flatten(2).mT for one in features] if is_resnet else features

    def perceptual_distance(self, a: Tensor, b: Tensor) -> Tensor:
        """How differently two batches of pictures look to the image tower: (B, 3, H, W) twice -> (B,).

            d(a, b) = mean over blocks and tokens of |f(a) / |f(a)| - f(b) / |f(b)||²

        This is the domain's own distance, built as LPIPS is (Zhang et al. 2018, section 3) but on the
        tokens of this CLIP and without learned channel weights. It is NOT LPIPS: values are 0 to 4 and
        not comparable with published LPIPS values.
        """
        pairs = zip(self.image_features(a), self.image_features(b), strict=True)
        per_block = [
            (F.normalize(fa, dim=-1) - F.normalize(fb, dim=-1)).square().sum(-1).mean(-1) for fa, fb in pairs
        ]
        return torch.stack(per_block).mean(0)

    def at(self, precision: Precision) -> ClipModel:
        """The same model, whose image tower computes in a precision. Texts are always embedded in float32."""
        found = copy(self)
        found.precision = precision
        return found

    def to(self, device: torch.device | str) -> ClipModel:
        """Move the model to a device, what embeds texts when the first one comes; returns itself."""
        self.model.visual.to(device)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        return self

    @property
    def _device(self) -> torch.device:
        return self._mean.device

    def _prepare(self, x: Tensor) -> Tensor:
        """Pixels in [-1, 1] at any size, in colour or grey -> what the image tower reads."""
        x = in_colour(x)
        if tuple(x.shape[-2:]) != self.image_size:
            x = _resized(x, self.image_size)
        return ((x + 1) / 2 - self._mean) / self._std


def _with_weights(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> open_clip.CLIP:
    """A CLIP of this configuration that holds the given weights in float32, without drawing random ones first.

    Weights that are float32 already stay in the file's memory map: read when used, and once for all processes of a
    machine. Raises RuntimeError or TypeError where they do not fit.
    """
    import open_clip

    with torch.device("meta"):
        model = open_clip.CLIP(**config)
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    if isinstance(mask := model.attn_mask, Tensor) and mask.is_meta:  # the one tensor that no file holds
        model.attn_mask = torch.full(mask.shape, float("-inf")).triu(1)
    return model


def _mapping(file: Path) -> AbstractContextManager[None]:
    """Within, torch maps this weights file into memory and reads of it what is used; older files it reads whole."""
    found: AbstractContextManager[None] = config.patch(  # type: ignore[attr-defined]  # set at run time
        {"load.mmap": is_zipfile(file)}
    )
    return found


def in_colour(x: Tensor) -> Tensor:
    """Grey pictures (B, 1, H, W) as (B, 3, H, W); coloured ones untouched."""
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic with antialiasing, (B, C, H, W) to (B, C, *size).

    Departure: the published code resizes tensors, which its version of torchvision does without antialiasing. Here
    pictures are seen as open_clip's own preprocessing sees them.

    On a GPU as two matrix products with the same weights: the backward pass of the built-in function adds in another
    order every time, so that the same seed would not give the same editor.
    """
    if x.device.type == "cpu":
        return _interpolated(x, size)
    rows, columns = (_resizing(old, new, x.device) for old, new in zip(x.shape[-2:], size, strict=True))
    return rows @ x @ columns.T


@lru_cache(maxsize=8)
def _resizing(old: int, new: int, device: torch.device) -> Tensor:
    """The weights (new, old) by which `old` pixels in a line become `new`; kept where they are used at every step."""
    return _interpolated(torch.eye(old)[None, None], (new, old))[0, 0].to(device)


def _interpolated(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)
