"""Networks with published weights, loaded here with random ones: none can be downloaded for a test."""

from pathlib import Path

import pytest
import torch
from torchvision import models

from trainables.h_space.domains import DomainError, domain_summary, shipped_domains
from trainables.h_space.metrics import Pictures
from trainables.h_space.perception import load_inception, load_lpips

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_inception_features_are_torchvision_s_pooled_ones(tmp_path: Path, pictures: torch.Tensor) -> None:
    with torch.random.fork_rng():
        model = models.inception_v3(weights=None, init_weights=False).eval()
    torch.save(model.state_dict(), tmp_path / "inception.pth")

    extractor = load_inception(tmp_path / "inception.pth", CPU)
    features = extractor.extract(Pictures(pictures * 3, torch.zeros(2, 1)))
    clipped = extractor.extract(Pictures((pictures * 3).clamp(-1, 1), torch.zeros(2, 1)))

    assert extractor.name.startswith("Inception v3, torchvision ")
    assert features.shape == (2, extractor.num_features)
    assert torch.equal(features, clipped)  # beyond white is white, never black
    assert not torch.allclose(features[0], features[1])
    known = torch.rand(2, 2048)
    assert extractor.extract(Pictures(pictures, torch.zeros(2, 1), inception=known)) is known


def test_lpips_is_torchmetrics_with_the_file_s_weights(tmp_path: Path, pictures: torch.Tensor) -> None:
    library = pytest.importorskip(
        "torchmetrics.functional.image.lpips", reason="torchmetrics is not installed"
    )
    with torch.random.fork_rng():
        expected = library._LPIPS(net="alex", pnet_rand=True)
    weights = {
        f"features.{name.partition('.')[2]}": value for name, value in expected.net.state_dict().items()
    }
    torch.save(weights, tmp_path / "alexnet.pth")

    distance = load_lpips(tmp_path / "alexnet.pth", CPU)

    assert torch.equal(distance(pictures, pictures), torch.zeros(2))
    assert torch.allclose(distance(pictures, -pictures), expected(pictures, -pictures).flatten())


@pytest.mark.parametrize("key", ["inception", "lpips"])
def test_a_weights_file_that_is_not_there_says_where_to_get_it(tmp_path: Path, key: str) -> None:
    avatars = shipped_domains()["avatars"]
    text = avatars.read_text(encoding="utf-8").replace("weights", str(avatars.parent / "weights"))
    (tmp_path / "own.yaml").write_text(f"{text}\n{key}: nowhere.pth\n", encoding="utf-8")

    with pytest.raises(
        DomainError, match=rf"{key} names .*nowhere\.pth, which does not exist\. Put https://\S+\.pth there"
    ):
        domain_summary(str(tmp_path / "own.yaml"))
