"""Whole trials on a GPU; skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trainables.h_space.config import CellConfig
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.trajectories import load_cached, preparation_tasks, run_preparation
from trainables.h_space.trial import Trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
]


@pytest.fixture(autouse=True, scope="module")
def deterministic() -> Iterator[None]:
    """As workers set it (`orchestrator.execution.worker.prepare_torch`)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        yield
        torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def gpu_cache(tiny_config: CellConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu cache")
    for task in preparation_tasks(tiny_config, folder):
        run_preparation(task, folder, "cuda")
    return folder


def trained(config: CellConfig, cache: Path, device: str) -> Trial:
    trial = Trial(config, 0, cache_dir=cache, device=device)
    while not trial.is_done:
        trial.step()
    return trial


def weights(trial: Trial) -> dict[str, torch.Tensor]:
    return {name: value.cpu().clone() for name, value in trial.editor.state_dict().items()}


def losses(trial: Trial) -> list[float]:
    return [row["loss_total"] for row in trial.finish().curves]


@pytest.mark.parametrize("kind", ["conv", "pixel_channel"])
def test_a_gpu_trains_towards_what_a_cpu_does(
    tiny_config: CellConfig, cache_dir: Path, gpu_cache: Path, kind: str
) -> None:
    """From its own cache: inversion and training both ran on the device."""
    config = CellConfig.model_validate(tiny_config.model_dump() | {"editor": {"kind": kind}})

    on_gpu, on_cpu = trained(config, gpu_cache, "cuda"), trained(config, cache_dir, "cpu")

    assert losses(on_gpu) == pytest.approx(losses(on_cpu), abs=0.02)
    assert on_gpu.finish().summary["s_dir"] == pytest.approx(on_cpu.finish().summary["s_dir"], abs=0.02)


@pytest.mark.parametrize("kind", ["conv", "pixel_channel", "channel_pixel"])
def test_a_resumed_trial_equals_an_uninterrupted_one_on_a_gpu(
    tiny_config: CellConfig, gpu_cache: Path, tmp_path: Path, kind: str
) -> None:
    config = CellConfig.model_validate(tiny_config.model_dump() | {"editor": {"kind": kind}})
    interrupted = Trial(config, 0, cache_dir=gpu_cache, device="cuda")
    interrupted.step()
    interrupted.save_checkpoint(tmp_path)
    resumed = Trial(config, 0, cache_dir=gpu_cache, device="cuda")
    resumed.load_checkpoint(tmp_path, interrupted.checkpoint_rows(0))
    resumed.step()

    undisturbed = trained(config, gpu_cache, "cuda")

    after, expected = weights(resumed), weights(undisturbed)
    assert all(torch.equal(after[name], expected[name]) for name in expected)
    assert resumed.finish().samples == undisturbed.finish().samples


def test_what_is_cached_of_an_image_does_not_depend_on_its_company(
    tiny_config: CellConfig, gpu_cache: Path, tmp_path: Path
) -> None:
    """A preparation that was killed goes on with other images together than it began with."""
    fewer = tiny_config.model_copy(
        update={"training": tiny_config.training.model_copy(update={"num_images": 1})}
    )
    for task in preparation_tasks(fewer, tmp_path):
        run_preparation(task, tmp_path, "cuda")
    for task in preparation_tasks(tiny_config, tmp_path):
        run_preparation(task, tmp_path, "cuda")

    at_once, in_two = (load_cached(tiny_config, "train", cache) for cache in (gpu_cache, tmp_path))

    rows = range(len(at_once))
    for a, b in zip(vars(at_once.batch(rows)).values(), vars(in_two.batch(rows)).values(), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_clip_gives_the_same_gradient_again_for_pictures_of_another_size() -> None:
    clip = load_domain("avatars", "cuda").clip
    pictures = torch.randn(4, 3, 80, 80, generator=torch.Generator().manual_seed(0)).cuda()

    def gradient() -> torch.Tensor:
        x = pictures.clone().requires_grad_()
        (found,) = torch.autograd.grad(clip.image(x)[:, 0].sum(), x)
        return found

    assert torch.equal(gradient(), gradient())


def test_a_gpu_resizes_for_clip_as_a_cpu_does() -> None:
    on_gpu, on_cpu = load_domain("avatars", "cuda").clip, load_domain("avatars", "cpu").clip
    pictures = torch.randn(4, 3, 80, 72, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(on_gpu.image(pictures.cuda()).cpu(), on_cpu.image(pictures), atol=5e-3, rtol=0)
