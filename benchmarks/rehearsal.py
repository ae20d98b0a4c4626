"""Rehearsals at published size: random weights in the published layouts, through the product's own commands.

    python benchmarks/rehearsal.py ddpm --folder /tmp/rehearsal     # celebahq: DDPM at 256 pixels, ViT-B/16
    python benchmarks/rehearsal.py ldm --folder /tmp/rehearsal      # celebahq_ldm: VQModel and U-Net of latents at 64
    python benchmarks/rehearsal.py adm --folder /tmp/rehearsal      # an ADM dog as P2 weighting has it, converted
    python benchmarks/rehearsal.py sd --folder /tmp/rehearsal       # Stable Diffusion 1 at 64 x 64 latents, ViT-L/14

TAKES LONG: a quarter of an hour to an hour each on a core or two, 8 to 20 GB of memory, 0.7 to 6 GB of disk. Each is
`plan` (twice: what is hashed is remembered), `run --inline` (one batch of one epoch, two images measured) and `edit` of
one picture, every command a process of its own; `convert-backbone` before them where there is something to convert.
Told of each: seconds, the highest memory, and the CPU time of its parts. Parts lie inside one another: a training step
has passes of the U-Net in it. Models with random weights cost what trained ones cost. With few images most of the
time is preparation, whose batches are filled up to eight: `--steps` are few for that reason.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
PARTS = "rehearsal_parts.json"

DOMAIN = """
name: rehearsal
diffusion: model
clip: {{model: {clip}, pretrained: clip.pt}}
images: {{kind: folder, folder: images}}
templates: imagenet
attributes: [smiling]
{extra}
"""
SPACE = """
question: Does it run at this size?
baseline:
  domain: domain.yaml
  attribute: smiling
  editor: {{kind: conv}}
  training: {{num_images: {batch}, batch_size: {batch}, epochs: 1, num_train_steps: {steps}, t_edit: 500}}
  evaluation: {{num_images: 2, strengths: [0.0, 1.0], num_sample_steps: {steps}, num_preview_images: 1}}
design: one_factor
seeds: 1
primary: {{metric: s_dir, margin: 0.05}}
"""

DDPM: dict[str, Any] = {
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "down_block_types": (*("DownBlock2D",) * 4, "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *("UpBlock2D",) * 4),
    "layers_per_block": 2,
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}
LDM: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (224, 448, 672, 896),
    "down_block_types": ("DownBlock2D", *("AttnDownBlock2D",) * 3),
    "up_block_types": (*("AttnUpBlock2D",) * 3, "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": 32,
}
VQ: dict[str, Any] = {
    "block_out_channels": (128, 256, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 2,
    "latent_channels": 3,
    "num_vq_embeddings": 8192,
    "sample_size": 256,
}
KL: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
SD: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}


def write_models(kind: str, folder: Path) -> str:
    """Models with random weights; returns what the domain's file says of them beside their places.

    No image comes back from random weights, so that the check of the scaling factor is off.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vq_model import VQModel
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    model, extra = folder / "model", ""
    schedule: dict[str, Any] = {"beta_schedule": "linear"}
    if kind == "ddpm":
        UNet2DModel(**DDPM).save_pretrained(model / "unet")
    elif kind == "ldm":
        UNet2DModel(**LDM).save_pretrained(model / "unet")
        VQModel(**VQ).save_pretrained(model / "vqvae")
        schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}
        extra = "autoencoder: {scaling_factor: 1.0, check_scaling: false}"
    elif kind == "adm":
        torch.save(_adm_weights(), folder / "dog.pt")
    else:
        UNet2DConditionModel(**SD).save_pretrained(model / "unet")
        AutoencoderKL(**KL).save_pretrained(model / "vae")
        schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
        extra = "prompt: {file: prompt.safetensors}\nautoencoder: {check_scaling: false}"
        _write_prompt(folder / "prompt.safetensors")
    if kind != "adm":
        DDIMScheduler(**schedule).save_pretrained(model / "scheduler")
    return extra


def _adm_weights() -> dict[str, torch.Tensor]:
    """Weights of the published P2 build by the names of its own code."""
    from trainables.h_space.backbones import _guided
    from trainables.h_space.backbones.released import build_unet
    from trainables.h_space.backbones.structure import PUBLISHED

    structure = next(one for one, known in PUBLISHED.items() if "AFHQ-dog" in known.name)
    unet = build_unet({**structure.config(256), **_guided.CONFIG, "attention_head_dim": 64})
    state, found = unet.state_dict(), {}
    names = {target: source for source, target in _guided._BLOCK.items()}
    for source, target in _guided._places(structure):
        inside = {
            name.removeprefix(f"{target}."): value
            for name, value in state.items()
            if name.startswith(f"{target}.")
        }
        if "to_q.weight" in inside:
            for end in ("weight", "bias"):
                rows = torch.cat([inside.pop(f"to_{one}.{end}") for one in "qkv"])
                found[f"{source}.qkv.{end}"] = rows[:, :, None] if rows.ndim > 1 else rows
        for name, value in inside.items():
            layer, _, end = name.rpartition(".")
            own = {"group_norm": "norm", "to_out.0": "proj_out"}.get(layer, names.get(layer, layer))
            is_matrix = own == "proj_out" and value.ndim > 1
            found[f"{source}.{own}.{end}" if own else f"{source}.{end}"] = (
                value[:, :, None] if is_matrix else value
            )
    return found


def _write_prompt(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"embedding": torch.randn(77, 768)}, path)


def write_clip(name: str, path: Path) -> None:
    """A CLIP with random weights, as open_clip downloads them: a state dict in one file."""
    import open_clip

    torch.save(open_clip.create_model(name, pretrained=None).state_dict(), path)


def write_images(folder: Path, num_train: int, size: int) -> None:
    """Drawn faces, large."""
    from trainables.h_space.domains.avatars import drawing, faces

    for first, (split, count) in enumerate({"train": num_train, "test": 2}.items()):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            drawn = Image.fromarray(drawing.draw(faces.sample_face(1000 * first + number)))
            drawn.resize((size, size), Image.Resampling.BICUBIC).save(folder / split / f"{number}.png")


def timed(command: list[str], folder: Path, limit: float) -> None:
    """Run one of the product's commands in a process of its own, and tell its seconds, memory and parts."""
    print(f"$ asyrp-sweep {' '.join(command)}", flush=True)
    began = time.monotonic()
    (folder / PARTS).unlink(missing_ok=True)
    child = [sys.executable, str(Path(__file__)), "--within", *command]
    environment = {**os.environ, "ASYRP_SWEEP_CACHE": str(folder / "hashes"), "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(child, cwd=folder, env=environment) as process:
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            code = -1
    seconds = time.monotonic() - began
    ended = {0: "", -1: f", stopped after {limit:.0f} s"}.get(code, f", exit code {code}")
    told = json.loads((folder / PARTS).read_text()) if (folder / PARTS).is_file() else {}
    print(
        f"  {seconds:.1f} s by the clock, {told.get('peak', float('nan')):.1f} GB at most{ended}", flush=True
    )
    for part, (count, spent, peak) in told.get("parts", {}).items():
        print(f"    {part:42} {spent:8.1f} s CPU in {count:4}  (peak so far {peak:.1f} GB)", flush=True)


def within(command: list[str]) -> int:
    """A command of the product, its parts timed; what it took is left beside it, also when it is stopped."""
    from orchestrator.cli.parser import main
    from trainables.h_space.backbones.autoencoder import FrozenAutoencoder
    from trainables.h_space.backbones.unet import FrozenDiffusion
    from trainables.h_space.clip import ClipModel
    from trainables.h_space.family import HSpace
    from trainables.h_space.trial import Trial

    parts: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])

    def watch(owner: type, name: str, label: Callable[..., str]) -> None:
        kept = vars(owner)[name]
        is_of_class = isinstance(kept, classmethod)
        function = kept.__func__ if is_of_class else kept

        def run(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return function(*given, **named)
            finally:
                part = parts[label(*given)]
                part[0] += 1
                part[1] += time.process_time() - began
                part[2] = _peak()
                Path(PARTS).write_text(json.dumps({"parts": parts, "peak": _peak()}))

        setattr(owner, name, classmethod(run) if is_of_class else run)

    def as_named(text: str) -> Callable[..., str]:
        return lambda *_: text

    for owner, name, text in (
        (FrozenDiffusion, "from_folder", "read the U-Net"),
        (ClipModel, "from_pretrained", "read CLIP"),
        (FrozenAutoencoder, "load", "read the autoencoder"),
        (Trial, "__init__", "trial: begin"),
        (Trial, "step", "trial: one epoch"),
        (Trial, "finish", "trial: measure"),
        (FrozenDiffusion, "encode", "U-Net, upper half"),
        (FrozenDiffusion, "decode", "U-Net, lower half"),
        (FrozenAutoencoder, "encode", "autoencoder, encode"),
        (FrozenAutoencoder, "decode", "autoencoder, decode"),
        (ClipModel, "image", "CLIP, images"),
        (ClipModel, "text", "CLIP, prompts"),
    ):
        watch(owner, name, as_named(text))
    watch(HSpace, "run_preparation", lambda _, task, *__: f"preparation: {type(task).__name__}")
    imported = time.process_time()
    try:
        return main(command)
    finally:
        parts["imports before the command"] = [1, imported, 0.0]
        parts["all of the process"] = [1, time.process_time(), _peak()]
        Path(PARTS).write_text(json.dumps({"parts": parts, "peak": _peak()}))


def _peak() -> float:
    """The highest memory of this process so far, in GB.

    On Linux not by getrusage, which begins at the memory of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Write a kind's models, then run the commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("ddpm", "ldm", "adm", "sd"))
    parser.add_argument(
        "--folder", type=Path, required=True, help="where to work; kept, and read if it is there"
    )
    parser.add_argument("--steps", type=int, default=2, help="DDIM steps of inversion, training and sampling")
    parser.add_argument(
        "--limit", type=float, default=3600.0, help="seconds after which a command is stopped"
    )
    parser.add_argument("--batch", type=int, default=1, help="training images, in one batch")
    options = parser.parse_args()
    folder: Path = options.folder.absolute() / options.kind
    clip = "ViT-L-14" if options.kind == "sd" else "ViT-B-16"
    if not folder.is_dir():
        began = time.monotonic()
        folder.mkdir(parents=True)
        extra = write_models(options.kind, folder)
        write_clip(clip, folder / "clip.pt")
        write_images(folder / "images", 8, 512 if options.kind == "sd" else 256)
        (folder / "domain.yaml").write_text(DOMAIN.format(clip=clip, extra=extra))
        print(f"models with random weights written in {time.monotonic() - began:.0f} s", flush=True)
    limit = options.limit
    (folder / "space.yaml").write_text(SPACE.format(batch=options.batch, steps=options.steps))
    if options.kind == "adm" and not (folder / "model").is_dir():
        timed(["convert-backbone", "dog.pt", "--out", "model"], folder, limit)
    for _ in range(2):
        timed(["plan", "space.yaml", "--no-price"], folder, limit)
    results = str(folder / f"results-{os.getpid()}")
    timed(["run", "space.yaml", "--inline", "--no-price", "--yes", "--results", results], folder, limit)
    editors = sorted(Path(results).glob("space/editors/*.safetensors"))
    picture = str(folder / "images" / "test" / "0.png")
    if editors:
        steps = str(options.steps)
        timed(
            ["edit", picture, "--editor", str(editors[0]), "--steps", steps, "--out", "edits"], folder, limit
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--within"]:
        sys.exit(within(sys.argv[2:]))
    main()
