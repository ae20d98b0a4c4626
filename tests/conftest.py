"""What the tests of several packages share: spaces on a domain that needs no weights."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from orchestrator.plan.loading import load_space
from orchestrator.space.config import Space
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.domains import DomainError, DomainSummary
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise
from trainables.h_space.schedule import alpha_bars

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

# Networks of the tests are small: with more threads, here and in processes that tests start, they wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

RandomUNet = Callable[[int], "UNet2DModel"]

SPACE_TEXT = """\
question: Which encoder edits best?
baseline:
  domain: tiny
  attribute: smiling
  editor: {kind: pixel_channel, num_heads: 1}
axes:
  encoder: {path: editor.kind, values: [pixel_channel, conv]}
seeds: 2
primary: {metric: s_dir, margin: 0.05}
"""


def tiny_summary(name: str) -> DomainSummary:
    """Domains as planning sees them: `tiny`, and `wide` with another fingerprint and width."""
    if name not in ("tiny", "wide") and not Path(name).is_file():
        raise DomainError(f"{name!r} is not a domain (shipped: tiny, wide)")
    is_wide = name == "wide"
    return DomainSummary(
        name="wide" if is_wide else "tiny",
        fingerprint="fedcba" if is_wide else "abcdef",
        shape=BottleneckShape(128 if is_wide else 64, 4, 4, 256),
        attributes=tuple(ATTRIBUTES),
        defaults={"training": {"num_images": 10, "epochs": 2}, "evaluation": {"num_images": 4}},
        per_attribute={"goblin": {"training": {"t_edit": 400}}},
        per_editor={"conv": {"training": {"optimizer": {"learning_rate": 0.005}}}},
    )


@pytest.fixture(scope="session", autouse=True)
def own_user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep digests and pilots of the tests apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASYRP_SWEEP_CACHE", str(tmp_path_factory.mktemp("user-cache")))
        yield


@pytest.fixture(scope="session")
def summarise() -> Summarise:
    return tiny_summary


@pytest.fixture
def space_text() -> str:
    """A valid space of two cells and two seeds; tests replace parts of it."""
    return SPACE_TEXT


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summarise: Summarise) -> Callable[..., Space]:
    """Load a space from its text, as `space.yaml` of the working directory."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, **options: Any) -> Space:
        Path("space.yaml").write_text(text, encoding="utf-8")
        family = HSpace(options.pop("summarise", summarise))
        return load_space("space.yaml", family=family, **options)

    return load_text


@pytest.fixture(scope="session")
def random_unet() -> RandomUNet:
    """Build a U-Net of 8-pixel images with random weights, always the same for the same width of its bottleneck."""
    from diffusers.models.unets.unet_2d import UNet2DModel  # seconds, which few files of tests need

    def build(bottleneck_width: int) -> UNet2DModel:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return UNet2DModel(
                sample_size=8,
                block_out_channels=(8, bottleneck_width),
                down_block_types=("DownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "UpBlock2D"),
                layers_per_block=1,
                norm_num_groups=4,
            )

    return build


@pytest.fixture(scope="session")
def tiny_diffusion(random_unet: RandomUNet) -> FrozenDiffusion:
    """A diffusion model of 8-pixel images with random weights and a bottleneck of 32 x 4 x 4."""
    return FrozenDiffusion(random_unet(32), alpha_bars())
