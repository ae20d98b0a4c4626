"""`pretrain`: the built-in domain's models, from scratch."""

import argparse

from rich.console import Console

from orchestrator.views.live import say


def pretrain_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Train the built-in domain's models from scratch."""
    from trainables.h_space.pretrain import pretrain_avatars

    pretrain_avatars(
        options.out,
        unet_steps=options.unet_steps,
        clip_steps=options.clip_steps,
        judge_steps=options.judge_steps,
        log=lambda line: say(console, line),
    )
    return 0
