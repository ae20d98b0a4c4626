"""What h-spaces add to the command line. Imports nothing slow: it is read at every start."""

import argparse
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainables.command_line import (
    Command,
    CommandLine,
    Doctor,
    Listing,
    Strip,
    Tuning,
    add_plugin,
    add_results,
    path,
    positive,
)
from trainables.h_space.cli.option_values import numbers, strengths, timestep


def _add_edit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="a picture file, a folder of them, or the id of an image of the domain",
    )
    command.add_argument(
        "--editor",
        action="append",
        required=True,
        metavar="E",
        help="a trained editor: its id or a unique prefix, its file, or best (of --study); several act together",
    )
    command.add_argument("--study", metavar="SPACE", help="look for editors in this study alone")
    command.add_argument(
        "--attribute", metavar="A", help="with --editor best: choose among the editors of this attribute"
    )
    command.add_argument("--faces", type=positive, metavar="N", help="edit N held-out images of the domain")
    command.add_argument(
        "--generate", type=positive, metavar="N", help="edit N images that the diffusion model makes up"
    )
    command.add_argument(
        "--strength",
        type=strengths,
        default=(1.0,),
        metavar="S",
        help="FROM:TO:COUNT such as -1:1:5, or a list such as 0.5,1 (default: 1)",
    )
    command.add_argument(
        "--steps", type=positive, metavar="N", help="steps of inversion and generation (default: as trained)"
    )
    command.add_argument(
        "--coefficients",
        type=numbers,
        metavar="C",
        help="weight of each editor, such as 0.5,0.5 (default: 1/sqrt(n) each)",
    )
    command.add_argument(
        "--window",
        choices=("own", "widest", "narrowest"),
        default="own",
        help="timesteps of several editors: own, each as trained (default); widest, the union; narrowest, the overlap",
    )
    command.add_argument(
        "--boost",
        type=timestep,
        default=0,
        metavar="T",
        help="add noise at timesteps below T, or auto (default: 0, none)",
    )
    command.add_argument(
        "--animate",
        action="store_true",
        help="also write P_t along the way, decoded: a GIF beside each strip",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of generated images and noise (default: 0)"
    )
    command.add_argument(
        "--domain", metavar="D", help="a domain other than the one the editors were trained in"
    )
    command.add_argument(
        "--device", choices=("cpu", "cuda"), help="where to compute (default: the GPU where there is one)"
    )
    command.add_argument(
        "--out", type=path, default=Path("edits"), metavar="DIR", help="where to write (default: edits)"
    )
    add_results(command)
    add_plugin(command)


def _add_interval(command: argparse.ArgumentParser) -> None:
    command.add_argument("domain", metavar="DOMAIN", help="a domain's name, or the path of its YAML")
    command.add_argument(
        "attributes",
        nargs="*",
        metavar="ATTRIBUTE",
        help="edits to find t_edit of (default: all of the domain)",
    )
    command.add_argument(
        "--images",
        type=positive,
        default=16,
        metavar="N",
        help="training images to average over (default: 16)",
    )
    command.add_argument(
        "--steps", type=positive, default=100, metavar="N", help="steps of their inversion (default: 100)"
    )
    command.add_argument(
        "--like",
        type=int,
        nargs="+",
        metavar="T",
        help="instead, the domain's timesteps that are as noisy as these of the published schedule",
    )
    command.add_argument("--out", type=path, metavar="FILE", help="draw the curves: FILE.png and FILE.svg")
    add_results(command)


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=path, metavar="FILE", help="a .pth checkpoint of either repository")
    command.add_argument(
        "--attribute",
        metavar="A",
        help="the edit it was trained for (default: by the name of a released file)",
    )
    command.add_argument(
        "--source",
        metavar="TEXT",
        help="what images show before the edit; for an attribute that is not known",
    )
    command.add_argument(
        "--target", metavar="TEXT", help="what edited images should show; for an attribute that is not known"
    )
    command.add_argument(
        "--domain", default="celebahq", metavar="D", help="domain it was trained in (default: celebahq)"
    )
    command.add_argument(
        "--out", type=path, metavar="F", help="file to write (default: FILE with the ending .safetensors)"
    )
    command.add_argument("--kind", metavar="K", help="kind of editor, where the checkpoint does not say")
    command.add_argument(
        "--num-heads", type=positive, metavar="N", help="number of attention heads; a checkpoint never says"
    )
    for name, meaning in (
        ("temporal", "how the time enters"),
        ("norm", "norm"),
        ("activation", "activation"),
    ):
        command.add_argument(f"--{name}", metavar="X", help=f"{meaning} (default: as published)")
    command.add_argument("--t-edit", type=int, metavar="T", help="the edit acts while t >= T")
    command.add_argument(
        "--num-train-steps", type=positive, metavar="N", help="timesteps it was trained with"
    )


def _add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=path, metavar="FILE", help="a trained editor: its .safetensors file")
    command.add_argument(
        "--out", type=path, metavar="F", help="file to write (default: FILE with the ending .pth)"
    )


def _add_convert(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", type=path, metavar="FILE", help="a .pt, .pth or .ckpt file of DDPM, improved-DDPM, ADM or P2"
    )
    command.add_argument(
        "--out", type=path, metavar="DIR", help="folder to write (default: FILE without its ending)"
    )
    command.add_argument("--image-size", type=positive, metavar="N", help="pixels of a side of its images")
    command.add_argument("--num-heads", type=positive, metavar="N", help="heads of every attention")
    command.add_argument(
        "--head-channels", type=positive, metavar="N", help="channels of every attention head, instead"
    )
    command.add_argument("--num-timesteps", type=positive, metavar="T", help="steps it was trained with")
    command.add_argument("--schedule", choices=("linear", "cosine"), help="its noise schedule")
    command.add_argument(
        "--timesteps",
        choices=("rescaled", "plain"),
        help="whether it was given t 1000 / T (rescale_timesteps) or t, where T is not 1000",
    )
    command.add_argument(
        "--new-attention-order", action="store_true", help="it was trained with use_new_attention_order"
    )


def _add_pretrain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "domain", choices=("avatars", "avatars_ldm"), metavar="DOMAIN", help="avatars or avatars_ldm"
    )
    command.add_argument("--out", type=path, required=True, metavar="DIR", help="where to write the models")
    command.add_argument(
        "--unet-steps", type=positive, metavar="N", help="training steps (default: those of the recipe)"
    )
    command.add_argument("--clip-steps", type=positive, metavar="N", help="the same, for avatars")
    command.add_argument("--judge-steps", type=positive, metavar="N", help="the same, for avatars")
    command.add_argument("--autoencoder-steps", type=positive, metavar="N", help="the same, for avatars_ldm")


def _add_tuning(group: Any) -> None:
    group.add_argument("--source", metavar="TEXT", help="what images show before the edit, such as person")
    group.add_argument("--target", metavar="TEXT", help="what edited images should show, such as goblin")
    group.add_argument(
        "--seen", action="store_true", help="a new attribute is one that the diffusion model has seen"
    )
    group.add_argument(
        "--space",
        default="tune_editor",
        metavar="SPACE",
        help="space that is searched (default: tune_editor)",
    )


def _strip_words(model: Path, out: Path) -> list[str]:
    """What edits two held-out images with an editor; what it prepares goes to the same folder."""
    words = ["edit", "--editor", str(model), "--faces", "2", "--strength=-1:1:5", "--device", "cpu"]
    return [*words, "--results", str(out / "results"), "--out", str(out)]


def _add_doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--domain",
        metavar="D",
        help="list every file of a domain: what it enables, its size, and where a missing one goes",
    )
    command.add_argument(
        "--try",
        dest="try_it",
        action="store_true",
        help="load its models too; of a model of latents, check the scaling factor on a few images",
    )


COMMAND_LINE = CommandLine(
    commands=(
        Command(
            "edit",
            "apply trained editors to pictures or generated faces",
            "trainables.h_space.cli.pictures:edit_command",
            _add_edit,
            number_lists=("--strength", "--coefficients"),
        ),
        Command(
            "interval",
            "t_edit and t_boost of a domain, with their curves",
            "trainables.h_space.cli.pictures:interval_command",
            _add_interval,
        ),
        Command(
            "import-editor",
            "an editor of the public repositories -> safetensors",
            "trainables.h_space.cli.importing:import_command",
            _add_import,
        ),
        Command(
            "export-editor",
            "an editor of ours -> a .pth of the public repositories",
            "trainables.h_space.cli.importing:export_command",
            _add_export,
        ),
        Command(
            "convert-backbone",
            "a published diffusion model -> a diffusers folder",
            "trainables.h_space.cli.converting:convert_command",
            _add_convert,
        ),
        Command(
            "pretrain",
            "train a built-in domain's models from scratch",
            "trainables.h_space.cli.pretraining:pretrain_command",
            _add_pretrain,
        ),
    ),
    lists=MappingProxyType(
        {
            "attributes": Listing(
                ("attribute", "source", "target", "seen in training"),
                "trainables.h_space.cli.lists:attributes",
            ),
            "domains": Listing(("domain", "state"), "trainables.h_space.cli.lists:domains"),
            "editors": Listing(("editor", "reads", "settings"), "trainables.h_space.cli.lists:editors"),
        }
    ),
    tune=Tuning(
        "ATTRIBUTE",
        "a known one, or a new name with --source and --target",
        "trainables.h_space.cli.tuning:wish_of",
        _add_tuning,
    ),
    doctor=Doctor(_add_doctor, "trainables.h_space.cli.checks:parts_of_domain"),
    checks=("trainables.h_space.cli.checks:packages", "trainables.h_space.cli.checks:domains"),
    strip=Strip("edit two held-out images", _strip_words),
)
