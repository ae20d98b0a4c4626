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

    for name in ("unet", "clip", "judge", "autoencoder"):
        if getattr(options, f"{name}_steps") is not None and name not in _STEPS[options.domain]:
            known = ", ".join(f"--{own}-steps" for own in _STEPS[options.domain])
            raise UserError(f"--{name}-steps: {options.domain} trains no {name}; it has {known}")

    def log(line: str) -> None:
        say(console, line)

    if options.domain == "avatars":
        pretrain_avatars(
            options.out,
            unet_steps=options.unet_steps,
            clip_steps=options.clip_steps,
            judge_steps=options.judge_steps,
            log=log,
        )
    else:
        pretrain_avatars_ldm(
            options.out, autoencoder_steps=options.autoencoder_steps, unet_steps=options.unet_steps, log=log
        )
    return 0
