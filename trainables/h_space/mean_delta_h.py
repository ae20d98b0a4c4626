"""The mean of an editor's answers, as an editor of its own: the global Delta-h of Asyrp's section 5.

Legend: B images, C channels, H and W positions of the bottleneck.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.diffusion import Editor, asymmetric_step
from trainables.h_space.editors import direct, direct_shared
from trainables.h_space.timesteps import Step


def mean_editor(
    diffusion: FrozenDiffusion, editor: Editor, x_T: Iterable[Tensor], timesteps: Sequence[Step]
) -> nn.Module:
    """A `direct` editor whose Delta-h at each timestep is the mean of `editor`'s over images.

    `x_T` are batches of inverted images; each walks the edited trajectory down `timesteps`, those the editor was
    trained at (`training_timesteps`). Raises ValueError when there is no image.
    """
    means = mean_delta_h(diffusion, editor, x_T, timesteps)
    settings = direct.Config(kind="direct")
    averaged = settings.build(diffusion.shape, torch.Generator(), tuple(means))
    averaged.load_state_dict({f"delta_h.{t}": mean for t, mean in means.items()})
    return averaged.to(diffusion.alpha_bar.device)


def global_mean_editor(
    diffusion: FrozenDiffusion, editor: Editor, x_T: Iterable[Tensor], timesteps: Sequence[Step]
) -> nn.Module:
    """The same averaged over timesteps as well: a `direct_shared` editor."""
    means = mean_delta_h(diffusion, editor, x_T, timesteps)
    settings = direct_shared.Config(kind="direct_shared")
    averaged = settings.build(diffusion.shape, torch.Generator(), tuple(means))
    overall = torch.stack(list(means.values())).mean(dim=0)
    averaged.load_state_dict(dict.fromkeys(averaged.state_dict(), overall))
    return averaged.to(diffusion.alpha_bar.device)


@torch.no_grad()
def mean_delta_h(
    diffusion: FrozenDiffusion, editor: Editor, x_T: Iterable[Tensor], timesteps: Sequence[Step]
) -> dict[int, Tensor]:
    """Delta-h (C, H, W) on the edited trajectory, averaged over images, at each of the timesteps."""
    sums: dict[int, Tensor] = {}
    num_images = 0
    for batch in x_T:
        x_t = batch.to(diffusion.alpha_bar.device)
        num_images += len(x_t)
        for t, t_prev in timesteps:
            encoded = diffusion.encode(x_t, t)
            delta_h = editor(encoded.h, encoded.temb, t)
            sums[t] = sums.get(t, torch.zeros_like(delta_h[0])) + delta_h.sum(dim=0)
            eps, eps_edit = diffusion.decode(encoded), diffusion.decode(encoded, encoded.h + delta_h)
            x_t = asymmetric_step(
                x_t, eps, eps_edit, diffusion.alpha_bar_at(t), diffusion.alpha_bar_at(t_prev)
            )
    if num_images == 0:
        raise ValueError("the mean Delta-h needs at least one image")
    return {t: total / num_images for t, total in sums.items()}
