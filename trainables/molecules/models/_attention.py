"""Attention between tokens of a molecule. B molecules, N and M tokens, F width, H heads, G numbers of a pair."""

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainables.molecules.models._base import ModelSettings


class AttentionSettings(ModelSettings):
    """Settings of every model that attends."""

    num_heads: int = Field(default=4, ge=1)
    """Attention heads; they divide the width."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide width {self.width}")
        return self


class TwoEncoderSettings(AttentionSettings):
    """Settings of a model of two encoders and a joint one."""

    joint_depth: int = Field(default=2, ge=1)
    """Layers of `depth` that come after the two encoders meet; each of them has the others."""

    @model_validator(mode="after")
    def _leaves_layers_for_the_encoders(self) -> Self:
        if self.joint_depth >= self.depth:
            raise ValueError(f"joint_depth {self.joint_depth} must be less than depth {self.depth}")
        return self

    @property
    def encoder_depth(self) -> int:
        """Layers of each encoder."""
        return self.depth - self.joint_depth


class Attention(nn.Module):
    """Multi-head attention whose weights may depend on what is known of each pair.

        out_i = Σ_j softmax_j(q_i · k_j / √(F/H) + bias(pair_ij)) gate(pair_ij) v_j

    The gate is between 0 and 1: with it alone, tokens that are all equal still learn of distances. A token that may
    attend to nothing gets 0 of it.
    """

    def __init__(self, width: int, num_heads: int, pair_width: int = 0) -> None:
        super().__init__()
        self._num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.pair = nn.Linear(pair_width, 2 * num_heads) if pair_width else None

    def forward(self, to: Tensor, of: Tensor, may_attend: Tensor, pairs: Tensor | None = None) -> Tensor:
        """Tokens `to` (B, N, F) attend to `of` (B, M, F) where may_attend (B, N, M); pairs are (B, N, M, G)."""
        q, k, v = self._heads(self.query(to)), self._heads(self.key(of)), self._heads(self.value(of))
        logits = q @ k.mT * q.shape[-1] ** -0.5  # (B, H, N, M)
        gate = None
        if self.pair is not None:
            bias, gate = self.pair(pairs).movedim(-1, 1).chunk(2, dim=1)
            logits = logits + bias
        weights = masked_softmax(logits, may_attend[:, None])
        if gate is not None:
            weights = weights * gate.sigmoid()
        answer: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2)) * may_attend.any(2)[..., None]
        return answer

    def _heads(self, x: Tensor) -> Tensor:
        """(B, H, N, F/H)"""
        return x.view(*x.shape[:2], self._num_heads, -1).transpose(1, 2)


def masked_softmax(logits: Tensor, may_attend: Tensor) -> Tensor:
    """Softmax over the last axis where allowed, 0 elsewhere; all 0, with finite gradients, where nothing is."""
    lowest = torch.finfo(logits.dtype).min
    weights: Tensor = logits.masked_fill(~may_attend, lowest).softmax(-1) * may_attend
    return weights


class Block(nn.Module):
    """A plain transformer layer, as DEMETAr's are published: norms after the sums, ReLU, feed-forward as wide as F."""

    def __init__(self, width: int, num_heads: int, pair_width: int = 0) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads, pair_width)
        self.feedforward = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, is_token: Tensor, pairs: Tensor | None = None) -> Tensor:
        """tokens (B, N, F), is_token (B, N), pairs (B, N, N, G): the next tokens. Empty rows hold anything."""
        may_attend = is_token[:, None, :].expand(-1, tokens.shape[1], -1)
        tokens = self.norm_1(tokens + self.attention(tokens, tokens, may_attend, pairs))
        following: Tensor = self.norm_2(tokens + self.feedforward(tokens))
        return following


class Stack(nn.Module):
    """Blocks one after the other."""

    def __init__(self, depth: int, width: int, num_heads: int, pair_width: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, num_heads, pair_width) for _ in range(depth))

    def forward(self, tokens: Tensor, is_token: Tensor, pairs: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens, is_token, pairs)
        return tokens
