"""Networks with published weights, loaded here with random ones: none can be downloaded for a test."""

from pathlib import Path

import pytest
import torch
from torchvision import models

from trainables.errors import UserError
from trainables.h_space import perception
from trainables.h_space.domains import DomainError, domain_summary, shipped_domains
from trainables.h_space.metrics import Pictures
from trainables.h_space.perception import check_alexnet, load_inception, load_lpips
from trainables.h_space.pickled_weights import CheckpointError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def inception() -> dict[str, torch.Tensor]:
    """Random weights in torchvision's layout."""
    with torch.random.fork_rng():
        return dict(models.inception_v3(weights=None, init_weights=False).state_dict())


def as_of_2015(weights: dict[str, torch.Tensor], num_classes: int = 1008) -> dict[str, torch.Tensor]:
    """The same in the layout that is published for FID."""
    kept = {name: value for name, value in weights.items() if not name.startswith("AuxLogits")}
    return {**kept, "fc.weight": torch.zeros(num_classes, 2048), "fc.bias": torch.zeros(num_classes)}


def test_inception_features_are_torchvision_s_pooled_ones(
    tmp_path: Path, pictures: torch.Tensor, inception: dict[str, torch.Tensor]
) -> None:
    torch.save(inception, tmp_path / "inception.pth")

    extractor = load_inception(tmp_path / "inception.pth", CPU)
    features = extractor.extract(Pictures(pictures * 3, torch.zeros(2, 1)))
    clipped = extractor.extract(Pictures((pictures * 3).clamp(-1, 1), torch.zeros(2, 1)))

    assert extractor.name.startswith("Inception v3, torchvision ")
    assert features.shape == (2, extractor.num_features)
    assert torch.equal(features, clipped)  # beyond white is white, never black
    assert not torch.allclose(features[0], features[1])
    known = torch.rand(2, 2048)
    assert extractor.extract(Pictures(pictures, torch.zeros(2, 1), inception=known)) is known


def test_the_inception_of_2015_sees_eight_bits_as_torch_fidelity_does(
    tmp_path: Path, pictures: torch.Tensor, inception: dict[str, torch.Tensor]
) -> None:
    library = pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    path = tmp_path / "pt_inception.pth"
    torch.save(as_of_2015(inception), path)
    reference = library.FeatureExtractorInceptionV3("reference", ["2048"], str(path))
    levels = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)

    extractor = load_inception(path, CPU)
    features = extractor.extract(Pictures(levels.float() / 127.5 - 1, torch.zeros(2, 1)))
    beyond, clipped = (
        extractor.extract(Pictures(pixels, torch.zeros(2, 1)))
        for pixels in (pictures * 3, (pictures * 3).clamp(-1, 1))
    )

    assert extractor.name.startswith("Inception v3, of 2015, as published for FID ")
    assert torch.equal(features, reference(levels)[0])
    assert torch.equal(beyond, clipped)


def test_without_torch_fidelity_the_inception_of_2015_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perception, "find_spec", lambda name: None)
    torch.save(as_of_2015({}), tmp_path / "pt_inception.pth")

    with pytest.raises(UserError, match=r"needs torch-fidelity: pip install 'asyrp-sweep\[metrics\]'"):
        load_inception(tmp_path / "pt_inception.pth", CPU)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"fc.weight": torch.zeros(10, 2048)}, r"or \(1000, 2048\); found shape \(10, 2048\)"),
        ({"weight": torch.zeros(1)}, "found none"),
        (["weights"], "found list in place of named weights"),
        (as_of_2015({}), "does not fit weights of Inception v3"),
        (as_of_2015({}, 1000), r"Conv2d_1a_3x3\.conv\.weight is missing"),
        ({"fc.weight": Harmful()}, "Python objects besides weights"),
    ],
)
def test_a_file_that_is_no_inception_is_named(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "net.pth")

    with pytest.raises(CheckpointError, match=rf"net\.pth.*{said}"):
        load_inception(tmp_path / "net.pth", CPU)


def test_lpips_is_torchmetrics_with_the_file_s_weights(tmp_path: Path, pictures: torch.Tensor) -> None:
    library = pytest.importorskip(
        "torchmetrics.functional.image.lpips", reason="torchmetrics is not installed"
    )
    with torch.random.fork_rng():
        expected, weights = library._LPIPS(net="alex", pnet_rand=True), models.alexnet().state_dict()
    torch.save(weights, tmp_path / "alexnet.pth")
    layers = {
        name: name.partition(".")[2] for name in expected.net.state_dict()
    }  # slice1.0.weight -> 0.weight
    expected.net.load_state_dict({name: weights[f"features.{layer}"] for name, layer in layers.items()})

    distance = load_lpips(tmp_path / "alexnet.pth", CPU)

    assert torch.equal(distance(pictures, pictures), torch.zeros(2))
    found, published = distance(pictures, -pictures), expected(pictures, -pictures).flatten()
    assert torch.allclose(found, published, rtol=0, atol=1e-6)
    assert found.min() > 1e-3


def test_a_file_that_is_no_alexnet_is_named(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = models.alexnet().state_dict()
    torch.save(
        {**{name: torch.zeros(1).expand(value.shape) for name, value in shapes.items()}}, tmp_path / "a.pth"
    )
    check_alexnet(tmp_path / "a.pth")
    torch.save({"features.0.weight": torch.zeros(2, 3)}, tmp_path / "net.pth")

    with pytest.raises(
        CheckpointError, match=r"features\.0\.weight has shape \(2, 3\) in place of \(64, 3, 11, 11\)"
    ):
        check_alexnet(tmp_path / "net.pth")


@pytest.mark.parametrize("key", ["inception", "lpips"])
def test_a_weights_file_that_is_not_there_says_where_to_get_it(tmp_path: Path, key: str) -> None:
    avatars = shipped_domains()["avatars"]
    text = avatars.read_text(encoding="utf-8").replace("weights", str(avatars.parent / "weights"))
    (tmp_path / "own.yaml").write_text(f"{text}\n{key}: nowhere.pth\n", encoding="utf-8")

    with pytest.raises(
        DomainError, match=rf"{key} names .*nowhere\.pth, which does not exist\. Put https://\S+\.pth there"
    ):
        domain_summary(str(tmp_path / "own.yaml"))
