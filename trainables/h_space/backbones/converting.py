"""Published checkpoints of diffusion models, converted to diffusers folders.

Original DDPM, improved-DDPM, ADM and P2 weighting. Their files hold weights and no settings: what weights cannot tell
(the size of the images, the number of attention heads, the noise schedule) comes from the table of published models
or is asked for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from trainables.h_space.backbones import _guided, _original_ddpm
from trainables.h_space.backbones._folder import CONFIG_NAME, WEIGHTS_NAME
from trainables.h_space.backbones.released import build_unet
from trainables.h_space.backbones.shapes import MODEL_CLASS, RELEASED_CLASS, check_config
from trainables.h_space.backbones.structure import PUBLISHED, BetaSchedule, Structure
from trainables.h_space.pickled_weights import CheckpointError, as_weights, read_pickled

FAMILIES = {"ddpm": _original_ddpm.MARKS, "guided-diffusion": _guided.MARKS}
_WANTED = "a checkpoint of the original DDPM, improved-DDPM, ADM or P2 weighting"
_INSIDE = ("state_dict", "model", "model_state_dict", "ema")
"""Keys under which files keep the weights beside other things."""


@dataclass(frozen=True)
class Given:
    """What the user says of a checkpoint; None where nothing is said."""

    image_size: int | None = None
    """Pixels of a side."""
    num_heads: int | None = None
    """Heads of every attention."""
    head_channels: int | None = None
    """Width of every head, instead of their number."""
    num_timesteps: int | None = None
    schedule: BetaSchedule | None = None
    timesteps: Literal["rescaled", "plain"] | None = None
    """rescaled: the network was given t times 1000 / T, as improved-diffusion does unless told otherwise."""
    is_new_order: bool = False
    """Whether queries, keys and values are apart before the heads are (`use_new_attention_order`)."""


@dataclass(frozen=True)
class ConvertedBackbone:
    """A checkpoint in diffusers' terms."""

    family: str
    config: dict[str, Any]
    """Of the U-Net."""
    scheduler: dict[str, Any]
    weights: dict[str, Tensor]
    taken_from: str
    """The published model whose settings were taken; empty where all were given."""


def convert_backbone(path: Path, given: Given) -> ConvertedBackbone:
    """Read a checkpoint and put it into diffusers' terms.

    Raises CheckpointError, naming the file, for one that is of none of these families or cannot be represented, and
    for settings that are missing or do not fit.
    """
    loaded = read_pickled(path, _WANTED)
    try:
        state = as_weights(_weights_in(loaded))
        family = _family(state)
        return _original(state, given) if family == "ddpm" else _guided_one(state, given)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def write_folder(found: ConvertedBackbone, folder: Path) -> None:
    """Write the diffusers folder: `unet/`, `scheduler/` and, where diffusers can load it, `model_index.json`.

    Raises OSError when it cannot be written.
    """
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "unet" / WEIGHTS_NAME).write_bytes(save(found.weights, metadata={"format": "pt"}))
    _write_json(folder / "unet" / CONFIG_NAME, found.config)
    _write_json(folder / "scheduler" / "scheduler_config.json", found.scheduler)
    if found.config["_class_name"] == MODEL_CLASS:
        parts = {"unet": ["diffusers", MODEL_CLASS], "scheduler": ["diffusers", "DDIMScheduler"]}
        _write_json(folder / "model_index.json", {"_class_name": "DDIMPipeline", **parts})


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _weights_in(loaded: object) -> Mapping[object, object]:
    """The weights of a file: all of it, under one of the usual keys, or the last of a list, which is the average."""
    if isinstance(loaded, list | tuple):  # [weights, optimizer, epoch, step, averaged weights]
        kept = [one for one in loaded if isinstance(one, Mapping) and _named(one, "conv_in.weight")]
        loaded = kept[-1] if kept else {}
    parts: Mapping[Any, Any] = loaded if isinstance(loaded, Mapping) else {}
    inside = [parts[key] for key in _INSIDE if isinstance(parts.get(key), Mapping)]
    if len(inside) > 1:
        found = " and ".join(key for key in _INSIDE if isinstance(parts.get(key), Mapping))
        raise CheckpointError(f"it holds several sets of weights ({found}): save the one to use by itself")
    weights = inside[0] if inside else parts
    return {str(name).removeprefix("module."): value for name, value in weights.items()}


def _named(part: Mapping[Any, Any], name: str) -> bool:
    return name in part or f"module.{name}" in part


def _family(state: Mapping[str, Tensor]) -> str:
    for family, marks in FAMILIES.items():
        if all(mark in state for mark in marks):
            return family
    if any(name.startswith("model.diffusion_model.") for name in state):
        raise CheckpointError(
            "it is a latent diffusion model with its autoencoder; use its diffusers folder (unet/, scheduler/ and "
            f"vae/ or vqvae/). Expected {_WANTED}"
        )
    if "conv_in.weight" in state and any(name.startswith("down_blocks.") for name in state):
        raise CheckpointError("it is in diffusers' layout already: name its folder in the domain's YAML")
    some = ", ".join(sorted(state)[:3]) or "no weights"
    raise CheckpointError(f"it is of no known family: expected {_WANTED}; found {some}")


def _original(state: Mapping[str, Tensor], given: Given) -> ConvertedBackbone:
    for option in ("num_heads", "head_channels"):
        if getattr(given, option) is not None:
            raise CheckpointError(f"{option} has no meaning here: an original DDPM's attention has one head")
    structure = _original_ddpm.structure_of(state)
    known = PUBLISHED.get(structure)
    image_size = given.image_size or (known.image_size if known else None)
    if image_size is None:
        raise CheckpointError(_must_be_given(["image_size"]))
    config = {"_class_name": MODEL_CLASS, **structure.config(image_size), **_original_ddpm.CONFIG}
    weights = _fitting(_original_ddpm.renamed(state, structure), config)
    schedule = _scheduler(given.num_timesteps or 1000, given.schedule or "linear")
    return ConvertedBackbone("original DDPM", config, schedule, weights, known.name if known else "")


def _guided_one(state: Mapping[str, Tensor], given: Given) -> ConvertedBackbone:
    structure = _guided.structure_of(state)
    known = PUBLISHED.get(structure)
    image_size = given.image_size or (known.image_size if known else None)
    has_heads = given.num_heads is not None or given.head_channels is not None
    missing = [
        *([] if image_size else ["image_size"]),
        *([] if known or has_heads else ["num_heads or head_channels"]),
        *([] if known or given.num_timesteps else ["num_timesteps"]),
        *([] if known or given.schedule else ["schedule"]),
    ]
    num_timesteps = given.num_timesteps or 1000
    if num_timesteps != 1000 and given.timesteps is None:
        missing.append("timesteps")
    if missing or image_size is None:
        raise CheckpointError(_must_be_given(missing))
    heads = _heads(structure, given, known.head_channels if known else None)
    weights = _guided.renamed(state, structure, heads, given.is_new_order)
    if left := [name for name in state if not name.startswith(_guided.sources(structure))]:
        raise CheckpointError(f"weight {left[0]} has no place in such a U-Net")
    factor = 1000 / num_timesteps if given.timesteps == "rescaled" else 1.0
    config = {
        **structure.config(image_size),
        **_guided.CONFIG,
        **_attention_config(heads),
        **({} if factor == 1 else {"timestep_factor": factor}),
    }
    is_plain = not {"num_attention_heads", "timestep_factor"} & config.keys()
    config["_class_name"] = MODEL_CLASS if is_plain else RELEASED_CLASS
    scheduler = _scheduler(num_timesteps, given.schedule or "linear")
    return ConvertedBackbone(
        "improved-DDPM, ADM or P2", config, scheduler, _fitting(weights, config), known.name if known else ""
    )


def _must_be_given(names: list[str]) -> str:
    options = ", ".join(
        " or ".join(f"--{one.replace('_', '-')}" for one in name.split(" or ")) for name in names
    )
    return f"not stored in the checkpoint, and it is none of the published models that are known here: give {options}"


def _heads(structure: Structure, given: Given, published: int | None) -> dict[int, int]:
    """Attention heads by the width of the level. Raises CheckpointError where they do not divide it."""
    if given.num_heads is not None and given.head_channels is not None:
        raise CheckpointError("num_heads and head_channels say the same thing: give one of them")
    per_head = given.head_channels or (None if given.num_heads else published)
    heads = {}
    for width in sorted(structure.attention_widths):
        parts = per_head or given.num_heads or 1
        if width % parts:
            what = f"head_channels {per_head}" if per_head else f"num_heads {parts}"
            raise CheckpointError(f"{what} does not divide the width {width} of an attention")
        heads[width] = width // parts if per_head else parts
    return heads


def _attention_config(heads: Mapping[int, int]) -> dict[str, Any]:
    """Heads by their width where that is one for all levels, as diffusers has it; else by their number."""
    widths = {width // count for width, count in heads.items()}
    if len(widths) == 1:
        return {"attention_head_dim": widths.pop()}
    return {"attention_head_dim": None, "num_attention_heads": next(iter(heads.values()))}


def _scheduler(num_timesteps: int, schedule: BetaSchedule) -> dict[str, Any]:
    """Linear betas are those of 1000 steps, smaller as there are more (Nichol and Dhariwal 2021)."""
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": num_timesteps,
        "beta_schedule": "linear" if schedule == "linear" else "squaredcos_cap_v2",
        "beta_start": 1e-4 * 1000 / num_timesteps,
        "beta_end": 2e-2 * 1000 / num_timesteps,
        "clip_sample": False,
        "prediction_type": "epsilon",
    }


def _fitting(weights: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights, where they are those of a U-Net of this configuration. Raises CheckpointError."""
    check_config(config)
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in build_unet(config).state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    apart = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if apart:
        name = apart[0]
        raise CheckpointError(
            f"{len(apart)} weights do not fit the U-Net that the others tell; {name} is {found.get(name, 'missing')}, "
            f"expected {expected.get(name, 'none')}"
        )
    return weights
