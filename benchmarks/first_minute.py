"""The first minute of a new study: when something is shown, when training begins, and whether the price holds.

    python benchmarks/first_minute.py [--domain avatars|real] [--launches N] [--folder DIR]

Each launch is `asyrp-sweep run` in a folder of its own, with nothing cached. `avatars` is the built-in domain. `real`
is shaped like what people bring, with random weights that this script makes: a 64-pixel U-Net with learned variance as
a diffusers folder, ViT-B/32 in open_clip's layout, and drawn pictures as PNG files. Prints, in seconds since the start:
the first line, the counts of cells and trials, the price, the end of preparation, the first epoch of a trial, the end
of the last trial and of the command; the share of each part; and how many launches took what their price had said.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image

NUM_IMAGES = {"train": 200, "test": 40}
UNITS = {"s": 1, "min": 60, "h": 3600}
MARKS = {
    "counts": re.compile(r"\d+ cells, \d+ trials"),
    "price": re.compile(r"price: about .* \((\d[\d.]*) (s|min|h) to\s+(\d[\d.]*) (s|min|h)\), \d+ at a"),
    "prepared": re.compile(r"prepared \d+"),
}
ENDED = re.compile(r"\[\d+/\d+\] .* done in")
SPACE = """\
question: How long does the first minute take?
baseline:
  domain: {domain}
  attribute: smiling
  editor: {{kind: conv}}
  training: {{num_images: 8, batch_size: 4, epochs: 1, num_train_steps: 10, t_edit: 500}}
  evaluation: {{num_images: 8, strengths: [0.0, 1.0], num_sample_steps: 10, num_preview_images: 2}}
axes:
  rate: {{path: training.optimizer.learning_rate, values: [0.001, 0.002]}}
seeds: 2
primary: {{metric: s_dir, margin: 0.05}}
"""
DOMAIN = """\
name: first_minute
diffusion: ddpm
clip: {folder: clip}
images: {kind: folder, folder: images}
attributes: [smiling, old, goblin]
defaults: {training: {optimizer: {learning_rate: 0.001}}}
"""


def make_domain(folder: Path) -> Path:
    """The domain's file, its models and pictures beside it."""
    torch.manual_seed(0)
    _make_unet(folder / "ddpm")
    _make_clip(folder / "clip")
    _make_images(folder / "images")
    (folder / "domain.yaml").write_text(DOMAIN)
    return folder / "domain.yaml"


def _make_unet(folder: Path) -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    UNet2DModel(
        sample_size=64,
        out_channels=6,
        block_out_channels=(32, 64, 128, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
    ).save_pretrained(folder / "unet")
    DDPMScheduler(variance_type="learned_range").save_pretrained(folder / "scheduler")


def _make_clip(folder: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    config = open_clip.get_model_config("ViT-B-32")
    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    weights = open_clip.create_model("ViT-B-32", pretrained=None).state_dict()
    save_file(
        {name: value.contiguous() for name, value in weights.items()},
        folder / "open_clip_model.safetensors",
    )


def _make_images(folder: Path) -> None:
    from trainables.h_space.domains.avatars import drawing, faces

    for first, (split, count) in enumerate(NUM_IMAGES.items()):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            face = faces.sample_face(10_000 * first + number)
            picture = Image.fromarray(drawing.draw(face)).resize((64, 64), Image.Resampling.BICUBIC)
            picture.save(folder / split / f"{number:04}.png")


def launch(domain: str, folder: Path) -> tuple[dict[str, float], tuple[float, float] | None]:
    """Seconds since the start at which each thing happened, and the two ends of the price."""
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(SPACE.format(domain=domain))
    command = [sys.executable, "-u", "-m", "orchestrator.cli", "run", "space.yaml", "--yes"]
    environment = {**os.environ, "ASYRP_SWEEP_CACHE": str(folder / "cache"), "COLUMNS": "400"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        times: dict[str, float] = {}
        watching = threading.Thread(
            target=_watch_epochs, args=(folder / "results/space/logs", began, times), daemon=True
        )
        watching.start()
        ends = None
        assert process.stdout is not None
        for line in process.stdout:
            now = time.monotonic() - began
            times.setdefault("first line", now)
            for name, mark in MARKS.items():
                if (found := mark.search(line)) is not None:
                    times.setdefault(name, now)
                    ends = _ends(found) if name == "price" else ends
            if ENDED.search(line):
                times["last trial"] = now
        times["command"] = time.monotonic() - began
    return times, ends


def _ends(found: re.Match[str]) -> tuple[float, float]:
    low, low_unit, high, high_unit = found.groups()
    return float(low) * UNITS[low_unit], float(high) * UNITS[high_unit]


def _watch_epochs(logs: Path, began: float, times: dict[str, float]) -> None:
    """Note when a trial's log first tells of an epoch."""
    while "first epoch" not in times and "command" not in times:
        if any("epoch 1:" in path.read_text(errors="replace") for path in logs.glob("*.log")):
            times["first epoch"] = time.monotonic() - began
        time.sleep(0.05)


def lines(times: dict[str, float]) -> Iterator[str]:
    """Each thing in the order it happened, with its share of the whole."""
    ordered = sorted(times.items(), key=lambda item: item[1])
    for (_, before), (name, at) in pairwise([("", 0.0), *ordered]):
        yield f"  {name:12}{at:8.1f} s{100 * (at - before) / times['command']:7.0f} %"


def main() -> None:
    """Launch as often as asked and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", choices=("avatars", "real"), default="real")
    parser.add_argument("--launches", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work, kept; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        domain = options.domain if options.domain == "avatars" else str(make_domain(folder / "domain"))
        num_within = 0
        for number in range(1, options.launches + 1):
            times, ends = launch(domain, folder / f"launch-{number}")
            print(f"launch {number}", *lines(times), sep="\n")
            if ends is not None and "last trial" in times:
                took = times["last trial"] - times["price"]
                num_within += ends[0] <= took <= ends[1]
                print(f"  took {took:.1f} s after a price of {ends[0]:g} to {ends[1]:g} s", flush=True)
        print(f"{num_within} of {options.launches} launches took what their price had said")


if __name__ == "__main__":
    main()
