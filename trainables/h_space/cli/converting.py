"""`convert-backbone`: a published diffusion model becomes a diffusers folder that a domain can name."""

import argparse
from pathlib import Path

from rich.console import Console

from orchestrator.space.config import ConfigError, Problem
from orchestrator.views.live import say
from trainables.h_space.backbones.bottleneck import bottleneck_shape
from trainables.h_space.backbones.converting import ConvertedBackbone, Given, convert_backbone, write_folder
from trainables.h_space.backbones.shapes import MODEL_CLASS


def convert_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Convert a published diffusion model.

    Raises CheckpointError for a file that cannot be converted, ConfigError for a place that cannot be written.
    """
    file: Path = options.file
    out: Path = options.out or file.with_suffix("")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _wrong_place(f"{out} is there already: expected a new or an empty folder")
    given = Given(
        image_size=options.image_size,
        num_heads=options.num_heads,
        head_channels=options.head_channels,
        num_timesteps=options.num_timesteps,
        schedule=options.schedule,
        timesteps=options.timesteps,
        is_new_order=options.new_attention_order,
    )
    found = convert_backbone(file, given)
    try:
        write_folder(found, out)
    except OSError as error:
        raise _wrong_place(f"{out} cannot be written: {error.strerror}") from error
    for line in _said(found, out):
        say(console, line)
    return 0


def _said(found: ConvertedBackbone, out: Path) -> list[str]:
    config, shape = found.config, bottleneck_shape(found.config)
    size, count = config["sample_size"], sum(value.numel() for value in found.weights.values())
    variance = ", learned variance (not used)" if config["out_channels"] > config["in_channels"] else ""
    lines = [
        f"{found.family}: {count / 1e6:.1f} million weights, images of {size} x {size}{variance}",
        f"bottleneck {shape.channels} x {shape.height} x {shape.width}, time embedding {shape.temb_width}",
    ]
    if found.taken_from:
        lines.append(f"settings that weights do not tell are those of {found.taken_from}, unless given")
    steps, kind = found.scheduler["num_train_timesteps"], found.scheduler["beta_schedule"]
    lines.append(f"noise schedule: {kind}, {steps} steps")
    if config["_class_name"] != MODEL_CLASS:
        lines.append(
            "diffusers has no setting for its attention heads or its timesteps: only asyrp-sweep reads this folder"
        )
    return [*lines, f"Backbone: {out}"]


def _wrong_place(message: str) -> ConfigError:
    return ConfigError([Problem("", 0, "--out", message)])
