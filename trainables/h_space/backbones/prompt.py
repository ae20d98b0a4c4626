"""The fixed prompt of a diffusion model that attends to text: a file with its embedding. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from trainables.h_space.backbones.shapes import CONDITIONAL_CLASS, MODEL_CLASS, BackboneError, with_defaults

if TYPE_CHECKING:
    from torch import Tensor

PROMPT, EMPTY = "embedding", "empty"
"""Names of the tensors in a prompt's file, (tokens, width) each; the empty prompt is there for guidance."""


@dataclass(frozen=True)
class PromptSpec:
    """A prompt's file, and how strongly the model is guided by it."""

    path: Path
    guidance: float
    """s of eps = eps_empty + s (eps_prompt - eps_empty); 1 is the prompt alone, at half the price."""


@dataclass(frozen=True)
class Prompt:
    """Embedded texts as a model attends to them."""

    embedding: "Tensor"
    """(tokens, width)"""
    empty: "Tensor | None"
    """(tokens, width) of the empty prompt; None without guidance."""
    guidance: float = 1.0

    @classmethod
    def read(cls, spec: PromptSpec) -> "Prompt":
        """Read the tensors of a file that `prompt_of` has checked."""
        from safetensors.torch import load_file

        tensors = load_file(spec.path)
        empty = None if spec.guidance == 1 else tensors[EMPTY].float()
        return cls(tensors[PROMPT].float(), empty, spec.guidance)


def is_conditional(unet: Mapping[str, Any]) -> bool:
    """Whether a U-Net of this configuration attends to text."""
    return bool(unet.get("_class_name") == CONDITIONAL_CLASS)


def prompt_of(path: Path | None, guidance: float, unet: Mapping[str, Any]) -> PromptSpec | None:
    """The prompt for a U-Net of this configuration, in the file at `path`; None where neither asks for one.

    Raises BackboneError for a prompt on an unconditional model, a conditional one without, or a file that does not fit.
    """
    if not is_conditional(unet):
        if path is not None:
            raise BackboneError(
                f"prompt: the diffusion model attends to no text (its U-Net is a {MODEL_CLASS}); leave `prompt` out of "
                "the domain's YAML"
            )
        return None
    if path is None:
        raise BackboneError(
            f"the diffusion model attends to a prompt (its U-Net is a {CONDITIONAL_CLASS}): give the file of an "
            "embedded one, `prompt: {file: PATH}`; the empty prompt is one too (docs/domains.md says how to make it)"
        )
    _check(path, guidance, with_defaults(unet)["cross_attention_dim"])
    return PromptSpec(path, guidance)


def _check(path: Path, guidance: float, width: int) -> None:
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"prompt.file {path} cannot be read as safetensors: {error}") from error
    for name in (PROMPT,) if guidance == 1 else (PROMPT, EMPTY):
        shape = shapes.get(name)
        if shape is None:
            why = "" if name == PROMPT else f", which guidance {guidance:g} needs"
            raise BackboneError(
                f"prompt.file {path} has no tensor {name!r}{why}; found {', '.join(sorted(shapes)) or 'none'}"
            )
        if len(shape) != 2 or shape[1] != width:
            raise BackboneError(
                f"prompt.file {path}: {name} is {shape}, expected (tokens, {width}), the width of the text that the "
                "U-Net attends to (cross_attention_dim)"
            )
    if guidance != 1 and shapes[PROMPT] != shapes[EMPTY]:
        raise BackboneError(
            f"prompt.file {path}: {EMPTY} is {shapes[EMPTY]} and {PROMPT} {shapes[PROMPT]}; expected the same shape"
        )
