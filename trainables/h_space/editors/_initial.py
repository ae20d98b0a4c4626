"""The weights that editors start from."""

import math
from abc import abstractmethod

import torch
from torch import nn


class OwnParameters(nn.Module):
    """A part that holds parameters beside those of torch's layers, and sets them itself."""

    @abstractmethod
    def initialise_own(self, generator: torch.Generator) -> None:
        """Draw them from `generator`."""


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Set every weight as the published code does, drawing from `generator` alone.

    Convolutions and linear layers as torch does by default, uniform within 1/sqrt(fan-in); the matrices of
    transformer encoders Xavier-uniform and their attention biases zero; norms the identity.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(part.weight[0].numel())
            part.weight.uniform_(-bound, bound, generator=generator)
            if part.bias is not None:
                part.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(part, nn.GroupNorm | nn.LayerNorm) and part.weight is not None:
            part.weight.fill_(1)
            part.bias.zero_()
    for part in module.modules():
        if isinstance(part, nn.TransformerEncoderLayer):
            _initialise_transformer_layer(part, generator)
    for part in module.modules():
        if isinstance(part, OwnParameters):
            part.initialise_own(generator)
    return module


def _initialise_transformer_layer(layer: nn.TransformerEncoderLayer, generator: torch.Generator) -> None:
    for parameter in layer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
    layer.self_attn.in_proj_bias.zero_()
    layer.self_attn.out_proj.bias.zero_()
