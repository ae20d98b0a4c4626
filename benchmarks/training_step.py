"""What a training step costs against the published loop: FLOPs and wall time, in one run.

    python benchmarks/training_step.py                 # the built-in model and a CelebA-HQ-shaped one
    python benchmarks/training_step.py --repeats 5
    python benchmarks/training_step.py --device cuda   # every timestep of the larger model too, and its own batch size
    python benchmarks/training_step.py --means         # what stacking trials and compiling would save (docs/design/034)

The published loop (method.md section 8) is written out here in plain torch: at every timestep an edited pass
(encoder, decoder for eps, decoder with gradient for eps_edit), an unedited pass of its own (encoder and decoder)
and CLIP on both pictures, on a model as diffusers runs it, channels first in memory. "published, our model" is the
same loop on the model as we run it: channels last, a divided decoder. Ours reads everything unedited from a cache.
All three must give the same losses; the run stops if they do not. Beside them stand the two cheaper trainings, whose
losses are others: `direction: cached` and `trajectory: reference`. Models with random weights cost what trained ones
cost.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import open_clip
import torch
from diffusers import UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from trainables.h_space.backbones.encoded import Encoded
from trainables.h_space.backbones.unet import FrozenDiffusion, SplitUNet
from trainables.h_space.clip import ClipModel
from trainables.h_space.config import TrainingConfig
from trainables.h_space.diffusion import asymmetric_step, predicted_x0, unedited_trajectory
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.editors import EDITORS
from trainables.h_space.optimizers import OPTIMIZERS
from trainables.h_space.schedule import alpha_bars
from trainables.h_space.timesteps import Step, training_timesteps
from trainables.h_space.training import Objective, train_batches
from trainables.h_space.trajectories import CachedBatch
from trainables.randomness import generator_for

TOLERANCE = {"cpu": 1e-4, "cuda": 1e-2}
"""How far a loss of the two loops may differ; a GPU adds in another order from run to run, and steps build on it."""

Loop = Callable[[], list[float]]
"""One batch of training; returns its losses by timestep."""

VARIANTS: dict[str, TrainingConfig] = {
    "ours": TrainingConfig(),
    "direction: cached": TrainingConfig(direction="cached"),
    "trajectory: reference": TrainingConfig(trajectory="reference"),
}


class AsDiffusersRunsIt(FrozenDiffusion):
    """The model cut at its bottleneck and nothing else."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.to(memory_format=torch.contiguous_format)

    @torch.no_grad()
    def encode(self, x_t: torch.Tensor, t: int | torch.Tensor) -> Encoded:
        """As `FrozenDiffusion.encode`."""
        assert isinstance(self.split, SplitUNet)
        return self.split.encode(x_t.contiguous(), t)


@dataclass(frozen=True)
class Case:
    """A model and the batch it is timed on."""

    name: str
    diffusion: FrozenDiffusion
    clip: ClipModel
    batch_size: int
    timesteps: list[Step]

    def as_published(self) -> "Case":
        """The same weights, run by diffusers' own blocks, in the order of memory that it leaves them in."""
        ours = self.diffusion
        unet = copy.deepcopy(ours.split.unet)
        return replace(self, diffusion=AsDiffusersRunsIt(unet, ours.alpha_bar, ours.prediction_type))


def published_loop(
    case: Case,
    editor: torch.nn.Module,
    objective: Objective,
    batch: CachedBatch,
    step: Callable[[], None],
) -> list[float]:
    """The published loop over one batch, with its per-batch CLIP reference corrected so that losses can be compared."""
    x_edit = x_source = batch.x_T
    losses = []
    for t, t_prev in case.timesteps:
        alpha_bar_t, alpha_bar_prev = case.diffusion.alpha_bar_at(t), case.diffusion.alpha_bar_at(t_prev)
        encoded = case.diffusion.encode(x_edit, t)
        with torch.no_grad():
            eps = case.diffusion.decode(encoded)
        eps_edit = case.diffusion.decode(encoded, encoded.h + editor(encoded.h, encoded.temb, t))
        p_edit = predicted_x0(x_edit, eps_edit, alpha_bar_t)
        with torch.no_grad():
            eps_source = case.diffusion.eps(x_source, t)
            p_source = predicted_x0(x_source, eps_source, alpha_bar_t)
            reference = case.clip.image(batch.original)
        total, _, _ = objective(case.clip.image, p_edit, p_source, reference)
        total.backward()
        step()
        losses.append(total.item())
        x_edit = asymmetric_step(x_edit, eps, eps_edit.detach(), alpha_bar_t, alpha_bar_prev)
        x_source = asymmetric_step(x_source, eps_source, eps_source, alpha_bar_t, alpha_bar_prev)
    return losses


def built_in_case(steps: int, device: str) -> Case:
    """The avatars domain as shipped, at its own batch size."""
    domain = load_domain("avatars", device)
    return Case(
        "built-in avatars, 32x32", domain.diffusion, domain.clip, 8, training_timesteps(20, 400, 999)[:steps]
    )


def celebahq_case(steps: int | None, batch_size: int, device: str) -> Case:
    """The shapes of the CelebA-HQ DDPM (method.md section 1) and ViT-B/32, with random weights."""
    torch.manual_seed(0)
    attention_at_16 = {4: ("AttnDownBlock2D", "AttnUpBlock2D")}
    down = [attention_at_16.get(level, ("DownBlock2D", "UpBlock2D"))[0] for level in range(6)]
    up = [attention_at_16.get(level, ("DownBlock2D", "UpBlock2D"))[1] for level in reversed(range(6))]
    unet = UNet2DModel(
        sample_size=256,
        block_out_channels=(128, 128, 256, 256, 512, 512),
        layers_per_block=2,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        attention_head_dim=None,
    )
    diffusion = FrozenDiffusion(unet, alpha_bars(), "epsilon").to(torch.device(device))
    clip = ClipModel(
        open_clip.create_model("ViT-B-32", pretrained=None),
        open_clip.get_tokenizer("ViT-B-32"),
        mean=open_clip.OPENAI_DATASET_MEAN,
        std=open_clip.OPENAI_DATASET_STD,
        fingerprint="random",
    ).to(device)
    timesteps = training_timesteps(40, 513, 999)[:steps]
    return Case("CelebA-HQ shape, 256x256, random weights", diffusion, clip, batch_size, timesteps)


def make_batch(case: Case) -> CachedBatch:
    """Noise for x_T, and everything unedited that follows from it."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch_size, *case.diffusion.x_shape)
    device = case.diffusion.alpha_bar.device
    original, x_T = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    points = list(unedited_trajectory(case.diffusion, x_T, [t for t, _ in reversed(case.timesteps)]))
    with torch.no_grad():
        embedding = case.clip.image(original)
    p_t = torch.stack([point.p_t for point in points], dim=1)
    return CachedBatch(original, x_T, points[-1].p_t, embedding, p_t, points[0].eps)


def runner(case: Case, batch: CachedBatch, settings: TrainingConfig | None) -> Loop:
    """One batch of training from a fresh editor, by the published loop where there are no settings."""
    loss_settings = settings or TrainingConfig()
    direction = torch.nn.functional.normalize(batch.embedding[0].flip(0), dim=0)
    objective = Objective(direction, loss_settings.lambda_recon, loss_settings)
    timesteps = tuple(t for t, _ in case.timesteps)

    def run() -> list[float]:
        editor = (
            EDITORS["conv"]
            .model_validate({"kind": "conv"})
            .build(case.diffusion.shape, generator_for(0, "init"), timesteps)
            .to(case.diffusion.alpha_bar.device)
        )
        optimizer = OPTIMIZERS[loss_settings.optimizer.kind].build(loss_settings.optimizer, editor)

        def step() -> None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        if settings is None:
            return published_loop(case, editor, objective, batch, step)
        (losses,) = train_batches(
            case.diffusion, case.clip.image, editor, objective, [batch], case.timesteps, step
        )
        return [loss.total for loss in losses]

    return run


def flops(run: Callable[[], object]) -> int:
    """Floating point operations of one call, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call; every loop ends by reading its losses, so a GPU has done its work by then."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(case: Case, repeats: int) -> None:
    """Print the cost of every loop per image and timestep, and how many times cheaper than the published one it is."""
    batch = make_batch(case)
    published = {"published": case.as_published(), "published, our model": case}
    loops = {name: runner(one, batch, None) for name, one in published.items()} | {
        name: runner(case, batch, settings) for name, settings in VARIANTS.items()
    }
    losses = {name: run() for name, run in loops.items()}
    alike = zip(*(losses[name] for name in (*published, "ours")), strict=True)
    difference = max(max(same) - min(same) for same in alike)
    if difference > TOLERANCE[case.diffusion.alpha_bar.device.type]:
        raise SystemExit(f"{case.name}: the two loops disagree by {difference}; a cost means nothing then")
    # In turns, so that a busy machine slows all of them.
    rounds = [{name: seconds(run) for name, run in loops.items()} for _ in range(repeats)]
    per_step = case.batch_size * len(case.timesteps)
    gflop = {name: flops(run) / per_step / 1e9 for name, run in loops.items()}
    where = case.diffusion.alpha_bar.device
    hardware = (
        torch.cuda.get_device_name(where) if where.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    print(f"{case.name}: batch {case.batch_size}, {len(case.timesteps)} timesteps, {hardware}")
    print(f"  largest difference of a loss between published and ours: {difference:.1e}")
    print("  an image and timestep      GFLOP   times fewer       ms   times faster")
    for name in loops:
        ms = statistics.median(taken[name] for taken in rounds) / per_step * 1e3
        ratios = [taken["published"] / taken[name] for taken in rounds]
        spread = f"({min(ratios):.2f} to {max(ratios):.2f} in {repeats})"
        print(
            f"  {name:22} {gflop[name]:9.3f} {gflop['published'] / gflop[name]:13.2f} "
            f"{ms:8.1f} {statistics.median(ratios):14.2f} {spread}"
        )


def means(case: Case, repeats: int) -> None:
    """Print what an image and timestep costs as it is, in larger batches and compiled, beside a product's own speed.

    A batch k times as large is what k trials on one frozen model cost at least: their editors would still be k.
    """
    device = case.diffusion.alpha_bar.device
    square = torch.randn(2048, 2048, device=device)
    speeds = [2 * 2048**3 / seconds(lambda: (square @ square).sum().item()) / 1e9 for _ in range(10)]
    print(f"{case.name}, {device.type}, {torch.get_num_threads()} threads")
    print(f"  a product of 2048 x 2048: {max(speeds):.0f} GFLOP/s")
    sizes = {"as it is": 1, "2 trials stacked": 2, "5 trials stacked": 5}
    cases = {name: replace(case, batch_size=k * case.batch_size) for name, k in sizes.items()}
    cases["compiled"] = replace(case, diffusion=_compiled(case.diffusion))
    loops = {name: runner(one, make_batch(one), TrainingConfig()) for name, one in cases.items()}
    first = {name: seconds(run) for name, run in loops.items()}
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repeats):
        for name, run in loops.items():
            taken[name].append(seconds(run) / cases[name].batch_size / len(case.timesteps))
    for name, found in taken.items():
        ratios = [one / whole for one, whole in zip(found, taken["as it is"], strict=True)]
        print(
            f"  {name:18} {statistics.median(found) * 1e3:6.2f} ms, {statistics.median(ratios):.2f} times "
            f"({min(ratios):.2f} to {max(ratios):.2f} in {repeats}); first run {first[name]:.0f} s"
        )


def _compiled(diffusion: FrozenDiffusion) -> FrozenDiffusion:
    """The same model, its two halves compiled; on a GPU with CUDA graphs."""
    found = FrozenDiffusion(
        copy.deepcopy(diffusion.split.unet), diffusion.alpha_bar, diffusion.prediction_type
    )
    mode = "reduce-overhead" if diffusion.alpha_bar.is_cuda else None
    halves: Any = found
    halves._encoded = torch.compile(halves._encoded, mode=mode)
    halves._decoder.decode = torch.compile(halves._decoder.decode, mode=mode)
    return found


def main() -> None:
    """Measure both models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["avatars", "celebahq"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--means", action="store_true", help="what stacking trials and compiling would save")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    if arguments.means:
        means(built_in_case(12, arguments.device), arguments.repeats)
        return
    if arguments.only != "celebahq":
        measure(built_in_case(12, arguments.device), arguments.repeats)
    if arguments.only != "avatars":
        # A CPU takes minutes for all 20 timesteps of a batch.
        steps, batch_size = (None, 9) if on_gpu else (3, 1)
        measure(celebahq_case(steps, batch_size, arguments.device), max(2, arguments.repeats // 2))


if __name__ == "__main__":
    main()
