"""`pretrain`: a built-in domain's models, from scratch."""

import argparse

from rich.console import Console

from orchestrator.views.live import say
from trainables.errors import UserError

_STEPS = {"avatars": ("unet", "clip", "judge"), "avatars_ldm": ("autoencoder", "unet")}
"""What each domain trains."""


def pretrain_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Train the built-in domain's models from scratch."""
    from trainables.h_space.pretrain import pretrain_avatars, pretrain_avatars_ldm

    given = {name: getattr(options, f"{name}_steps") for name in ("unet", "clip", "judge", "autoencoder")}
    for name, steps in given.items():
        if steps is not None and name not in _STEPS[options.domain]:
            known = ", ".join(f"--{own}-steps" for own in _STEPS[options.domain])
            raise UserError(f"--{name}-steps: {options.domain} trains no {name}; it has {known}")
    train = {"avatars": pretrain_avatars, "avatars_ldm": pretrain_avatars_ldm}[options.domain]
    train(
        options.out,
        **{f"{name}_steps": given[name] for name in _STEPS[options.domain]},
        log=lambda line: say(console, line),
    )
    return 0
