"""The original DDPM's U-Net (Ho et al. 2020, in the PyTorch layout of `models/ddpm/diffusion.py`): names and build."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainables.h_space.backbones.structure import Structure
from trainables.h_space.pickled_weights import CheckpointError

MARKS = ("temb.dense.0.weight", "mid.block_1.conv1.weight", "conv_in.weight")
"""Weights that every such file has."""
CONFIG: dict[str, Any] = {
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
    "attention_head_dim": None,  # one head; the class's own default of 8 channels would split it without a word
}

_BLOCK = {"temb_proj.": "time_emb_proj.", "nin_shortcut.": "conv_shortcut."}
_ATTENTION = {
    "norm.": "group_norm.",
    "q.": "to_q.",
    "k.": "to_k.",
    "v.": "to_v.",
    "proj_out.": "to_out.0.",
}


def structure_of(state: Mapping[str, Tensor]) -> Structure:
    """How the U-Net of these weights is built. Raises CheckpointError for one that does not hold together."""
    levels = range(1 + max(_numbers(state, "down", 1)))
    missing = [level for level in levels if f"down.{level}.block.0.conv1.weight" not in state]
    if missing:
        raise CheckpointError(f"down.{missing[0]}.block.0.conv1.weight is missing: the file is not whole")
    unsized = [level for level in levels[:-1] if f"down.{level}.downsample.conv.weight" not in state]
    if unsized:
        raise CheckpointError(
            f"level {unsized[0]} halves the image without a convolution (down.{unsized[0]}.downsample.conv is not "
            "there): such U-Nets cannot be represented"
        )
    return Structure(
        channels=tuple(state[f"down.{level}.block.0.conv1.weight"].shape[0] for level in levels),
        num_res_blocks=1 + max(_numbers(state, "down.0.block", 3)),
        attention_levels=frozenset(level for level in levels if f"down.{level}.attn.0.q.weight" in state),
        resampling="conv",
        scale_shift=False,
        in_channels=state["conv_in.weight"].shape[1],
        out_channels=state["conv_out.weight"].shape[0] if "conv_out.weight" in state else 0,
    )


def renamed(state: Mapping[str, Tensor], structure: Structure) -> dict[str, Tensor]:
    """The weights by diffusers' names."""
    return {_name(name, len(structure.channels)): _as_linear(name, value) for name, value in state.items()}


def _name(name: str, num_levels: int) -> str:
    first, *rest = name.split(".")
    if first == "temb":
        return f"time_embedding.linear_{int(rest[1]) + 1}.{rest[-1]}"
    if first == "mid":
        part, *inner = rest
        place = {"block_1": "resnets.0", "attn_1": "attentions.0", "block_2": "resnets.1"}.get(part, part)
        return f"mid_block.{place}.{_inner('.'.join(inner), part.startswith('attn'))}"
    if first not in ("down", "up"):
        return name.replace("norm_out.", "conv_norm_out.")
    level, part, *inner = rest
    # The original counts both ways from the finest level; diffusers' way up begins at the coarsest.
    block = f"down_blocks.{level}" if first == "down" else f"up_blocks.{num_levels - 1 - int(level)}"
    if part.endswith("sample"):
        return f"{block}.{part}rs.0.{'.'.join(inner)}"
    place = "attentions" if part == "attn" else "resnets"
    return f"{block}.{place}.{inner[0]}.{_inner('.'.join(inner[1:]), part == 'attn')}"


def _inner(name: str, is_attention: bool) -> str:
    names = _ATTENTION if is_attention else _BLOCK
    prefix = next((prefix for prefix in names if name.startswith(prefix)), None)
    return name if prefix is None else names[prefix] + name.removeprefix(prefix)


def _as_linear(name: str, value: Tensor) -> Tensor:
    """Its attention projects by 1x1 convolutions, diffusers' by matrices."""
    is_projection = ".attn" in name and value.ndim == 4
    return value.flatten(1).contiguous() if is_projection else value


def _numbers(state: Mapping[str, Tensor], prefix: str, depth: int) -> list[int]:
    """The numbers after a prefix; -1 where there are none."""
    found = {name.split(".")[depth] for name in state if name.startswith(f"{prefix}.")}
    return [int(number) for number in found if number.isdigit()] or [-1]
