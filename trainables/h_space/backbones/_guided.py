"""The U-Net of improved-DDPM, ADM and P2 weighting (Nichol, Dhariwal 2021; Dhariwal, Nichol 2021; Choi et al. 2022).

Their files name layers by position: `input_blocks.k` with k = 1 + l (r + 1) + j for residual block j of level l, j = r
the layer that halves the image; `output_blocks.k` with k = u (r + 1) + j and u counted from the deepest level, whose
last child doubles the image.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.h_space.backbones.structure import Structure
from trainables.h_space.pickled_weights import CheckpointError

MARKS = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight")
"""Weights that every such file has."""
CONFIG: dict[str, Any] = {
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_eps": 1e-5,
    # diffusers leaves the norm of the middle attention out under scale_shift where this is not said.
    "attn_norm_num_groups": 32,
}

_BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}

State = Mapping[str, Tensor]


def structure_of(state: State) -> Structure:
    """How the U-Net of these weights is built.

    Raises CheckpointError for weights that do not hold together, or of a U-Net that diffusers does not have: one
    conditioned on classes or on another image, one of volumes, one whose first level and sinusoid differ in width.
    """
    _refuse_others(state)
    num_blocks = 1 + max(_positions(state, "input_blocks"))
    per_level = _blocks_per_level(state, num_blocks)
    levels = range(num_blocks // per_level)
    firsts = [1 + level * per_level for level in levels]
    try:
        return Structure(
            channels=tuple(state[f"input_blocks.{k}.0.out_layers.3.weight"].shape[0] for k in firsts),
            num_res_blocks=per_level - 1,
            attention_levels=frozenset(
                level for level, k in enumerate(firsts) if f"input_blocks.{k}.1.qkv.weight" in state
            ),
            resampling="conv" if any(name.endswith(".0.op.weight") for name in state) else "resnet",
            scale_shift=_scales(state),
            in_channels=state["input_blocks.0.0.weight"].shape[1],
            out_channels=state["out.2.weight"].shape[0],
        )
    except KeyError as error:
        raise CheckpointError(f"{error.args[0]} is missing: the file is not whole") from error


def renamed(
    state: State, structure: Structure, heads: Mapping[int, int], is_new_order: bool
) -> dict[str, Tensor]:
    """The weights by diffusers' names. `heads`: number of attention heads by width.

    Rows of the joint projection of queries, keys and values are ordered (head, q k v, channel); with `is_new_order`
    (q k v, head, channel).
    """
    found: dict[str, Tensor] = {}
    for source, target in _places(structure):
        inside = {
            name.removeprefix(f"{source}."): value
            for name, value in state.items()
            if name.startswith(f"{source}.")
        }
        for name, value in inside.items():
            layer, _, end = name.rpartition(".")
            if layer == "qkv":
                parts = _split(value.flatten(1) if value.ndim > 1 else value, heads, is_new_order)
                found |= {f"{target}.to_{one}.{end}": part for one, part in zip("qkv", parts, strict=True)}
            elif ".attentions." in target:
                inner = {"norm": "group_norm", "proj_out": "to_out.0"}.get(layer, layer)
                is_matrix = layer == "proj_out" and value.ndim > 2
                found[f"{target}.{inner}.{end}"] = value.flatten(1).contiguous() if is_matrix else value
            else:
                inner = _BLOCK.get(layer, "conv" if layer in ("op", "conv") else layer)
                found[f"{target}.{inner}.{end}" if inner else f"{target}.{end}"] = value
    return found


def sources(structure: Structure) -> tuple[str, ...]:
    """Prefixes of all weights that have a place."""
    return tuple(f"{source}." for source, _ in _places(structure))


def _places(structure: Structure) -> Iterator[tuple[str, str]]:
    """Every layer by its name here and in diffusers."""
    yield from _ENDS.items()
    for k, place in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        yield f"middle_block.{k}", f"mid_block.{place}"
    num_levels, count = len(structure.channels), structure.num_res_blocks
    for level in range(num_levels):
        has_attention = level in structure.attention_levels
        down, up = f"down_blocks.{level}", f"up_blocks.{num_levels - 1 - level}"
        first_down, first_up = 1 + level * (count + 1), (num_levels - 1 - level) * (count + 1)
        for j in range(count):
            yield f"input_blocks.{first_down + j}.0", f"{down}.resnets.{j}"
            if has_attention:
                yield f"input_blocks.{first_down + j}.1", f"{down}.attentions.{j}"
        for j in range(count + 1):
            yield f"output_blocks.{first_up + j}.0", f"{up}.resnets.{j}"
            if has_attention:
                yield f"output_blocks.{first_up + j}.1", f"{up}.attentions.{j}"
        if level < num_levels - 1:
            yield f"input_blocks.{first_down + count}.0", f"{down}.downsamplers.0"
        if level > 0:
            yield f"output_blocks.{first_up + count}.{1 + has_attention}", f"{up}.upsamplers.0"


def _split(rows: Tensor, heads: Mapping[int, int], is_new_order: bool) -> tuple[Tensor, ...]:
    """Queries, keys and values of a joint projection (3 C, ...), each (C, ...) by head."""
    width = rows.shape[0] // 3
    if is_new_order:
        return tuple(part.contiguous() for part in rows.chunk(3))
    num_heads = heads[width]
    by_head = rows.reshape(num_heads, 3, width // num_heads, *rows.shape[1:])
    return tuple(part.reshape(width, *rows.shape[1:]).contiguous() for part in torch.unbind(by_head, dim=1))


def _refuse_others(state: State) -> None:
    """Raises CheckpointError for a U-Net of this family that cannot be represented, by name."""
    if any(name.startswith("label_emb.") for name in state):
        raise CheckpointError(
            "the U-Net is conditioned on class labels (label_emb); only unconditional models can be edited"
        )
    if any(".transformer_blocks." in name for name in state):
        raise CheckpointError(
            "the U-Net attends to prompts (transformer_blocks), as Stable Diffusion's does: use its diffusers folder"
        )
    first = state["input_blocks.0.0.weight"]
    if first.ndim != 4:
        raise CheckpointError(
            f"the U-Net is one of {first.ndim - 2}-dimensional data; only images can be edited"
        )
    if first.shape[1] not in (1, 3, 4):
        raise CheckpointError(
            f"the U-Net reads {first.shape[1]} channels: a super-resolution model, which is conditioned on another "
            "image; only unconditional models can be edited"
        )
    sinusoid = state["time_embed.0.weight"].shape[1]
    if sinusoid != first.shape[0]:
        raise CheckpointError(
            f"the first level is {first.shape[0]} channels wide and the time embedding's sinusoid {sinusoid} (a first "
            "multiplier other than 1, as in ADM at 512 pixels): diffusers ties the two, so it cannot be represented"
        )


def _positions(state: State, blocks: str) -> set[int]:
    return {int(name.split(".")[1]) for name in state if name.startswith(f"{blocks}.")} or {-1}


def _blocks_per_level(state: State, num_blocks: int) -> int:
    """r + 1, told by the first output block that doubles the image: the last of the deepest level."""
    doubling = [
        int(name.split(".")[1])
        for name in state
        if name.startswith("output_blocks.")
        and name.split(".")[2] != "0"
        and name.split(".")[3] in ("conv", "in_layers")
    ]
    per_level = min(doubling, default=num_blocks - 1) + 1
    if num_blocks % per_level or max(_positions(state, "output_blocks")) + 1 != num_blocks:
        raise CheckpointError(
            f"{num_blocks} input blocks and {max(_positions(state, 'output_blocks')) + 1} output blocks are not "
            f"levels of {per_level} each: the file is not whole, or resamples without weights"
        )
    return per_level


def _scales(state: State) -> bool:
    """Whether a block's time projection gives a scale and a shift for each channel."""
    block = "middle_block.0"
    return (
        state[f"{block}.emb_layers.1.weight"].shape[0] == 2 * state[f"{block}.out_layers.0.weight"].shape[0]
    )
