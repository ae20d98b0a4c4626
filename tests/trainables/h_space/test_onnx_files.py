"""A segmenter and a network of identities from ONNX files: small ones, made here."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from random_domains import prepare, small_config, write_domain, write_pixel_model
from torch import Tensor

from trainables.errors import UserError
from trainables.h_space import cell_checks, onnx_files
from trainables.h_space.domains import DomainError, domain_summary
from trainables.h_space.domains.files import IdentityFile, NetworkFile, read_domain_source
from trainables.h_space.domains.networks import unfit_files
from trainables.h_space.family import FAMILY
from trainables.h_space.onnx_files import load_identity, segmenter_of

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
CPU = torch.device("cpu")
WEIGHT = torch.randn(4, 3, 1, 1, generator=torch.Generator().manual_seed(0))


def write_onnx(
    path: Path, shape: Sequence[int | str], nodes: Sequence[tuple[str, dict[str, object]]]
) -> Path:
    """One operation after another, from `picture` to the output `out`; further weights are those of a Conv."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    made, last = [], "picture"
    for index, (kind, settings) in enumerate(nodes):
        name = "out" if index == len(nodes) - 1 else f"x{index}"
        made.append(
            helper.make_node(kind, [last, "weight"] if kind == "Conv" else [last], [name], **settings)
        )
        last = name
    weight = helper.make_tensor("weight", number, WEIGHT.shape, WEIGHT.flatten().tolist())
    outputs = [helper.make_tensor_value_info(name, number, None) for name in ("out", "picture2")]
    graph = helper.make_graph(
        [*made, helper.make_node("Identity", ["picture"], ["picture2"])],
        "small",
        [helper.make_tensor_value_info("picture", number, list(shape))],
        outputs,
        [weight],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path


def write_segmenter(path: Path, shape: Sequence[int | str] = (1, 3, 16, 16)) -> Path:
    return write_onnx(path, shape, [("Conv", {})])


def write_identity(path: Path, shape: Sequence[int | str] = ("batch", 3, 8, 8)) -> Path:
    return write_onnx(
        path, shape, [("AveragePool", {"kernel_shape": [4, 4], "strides": [4, 4]}), ("Flatten", {})]
    )


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_segmenter_gives_the_likeliest_part_of_each_pixel(tmp_path: Path, pictures: Tensor) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    segmenter = segmenter_of(
        write_segmenter(tmp_path / "faces.onnx"), NetworkFile(file="faces.onnx", mean=mean, std=std)
    )

    found = segmenter.load(CPU)(pictures * 2)

    unit = (pictures * 2).clamp(-1, 1) / 2 + 0.5
    small = F.interpolate(unit, (16, 16), mode="bilinear", antialias=True)
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    logits = F.interpolate(F.conv2d((small - shift) / scale, WEIGHT), (32, 32), mode="bilinear")
    assert segmenter.parts == ("0", "1", "2", "3")
    assert (found == logits.argmax(1)).float().mean() > 0.999
    assert len(found.unique()) > 1


def test_identity_features_are_of_the_crop_and_of_unit_length(tmp_path: Path, pictures: Tensor) -> None:
    path = write_identity(tmp_path / "who.onnx")
    crop = (0.25, 0.25, 0.75, 0.75)

    identify = load_identity(path, IdentityFile(file="who.onnx", crop=crop), CPU)
    found = identify(pictures)

    middle = F.interpolate(pictures[:, :, 8:24, 8:24], (8, 8), mode="bilinear", antialias=True)
    expected = F.normalize(F.avg_pool2d(middle, 4).flatten(1), dim=1)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(found[1:2], identify(pictures[1:2]))


@pytest.mark.parametrize(
    ("shape", "size", "said"),
    [
        ((1, 1, 16, 16), None, r"expected one input of pictures, \(1, 3, height, width\).* found picture"),
        ((8, 3, 16, 16), None, "expected one input of pictures"),
        ((1, 3, "height", "width"), None, "reads pictures of any size: say with `size`"),
        ((1, 3, 16, 16), 32, "reads pictures of 16 x 16; `size` says 32"),
    ],
)
def test_a_file_that_reads_something_else_is_named(
    tmp_path: Path, shape: Sequence[int | str], size: int | None, said: str
) -> None:
    path = write_segmenter(tmp_path / "net.onnx", shape)

    with pytest.raises(UserError, match=rf"net\.onnx.*{said}"):
        segmenter_of(path, NetworkFile(file="net.onnx", size=size))


def test_wrong_outputs_and_files_that_are_no_networks_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, identity = write_segmenter(tmp_path / "a.onnx"), write_identity(tmp_path / "b.onnx")
    (tmp_path / "c.onnx").write_bytes(b"weights")

    with pytest.raises(UserError, match=r"b\.onnx: expected logits of parts.* found \(1, 12\)"):
        segmenter_of(identity, NetworkFile(file=""))
    with pytest.raises(UserError, match=r"a\.onnx: expected features.* found \(1, 4, 16, 16\)"):
        load_identity(segmenter, IdentityFile(file=""), CPU)
    with pytest.raises(UserError, match=r"c\.onnx cannot be read as a network in ONNX"):
        segmenter_of(tmp_path / "c.onnx", NetworkFile(file=""))
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"a\.onnx needs onnxruntime: pip install 'asyrp-sweep\[metrics\]'"):
        segmenter_of(segmenter, NetworkFile(file=""))


def test_a_domain_measures_with_its_files(tmp_path: Path) -> None:
    write_pixel_model(tmp_path)
    write_segmenter(tmp_path / "faces.onnx", (1, 3, "h", "w"))
    write_identity(tmp_path / "who.onnx")
    lines = "segmenter: {file: faces.onnx, size: 16}\nidentity: {file: who.onnx, crop: [0, 0, 1, 0.5]}\n"
    domain = write_domain(tmp_path, extra=lines)
    plain = small_config(domain)
    names = ("segmentation_consistency", "identity_similarity")
    config = plain.model_copy(update={"evaluation": plain.evaluation.model_copy(update={"metrics": names})})

    assert list(cell_checks._check_network_files(domain_summary(domain))) == []
    prepare(config, tmp_path / "cache")
    trial = FAMILY.trial(config, 0, cache_dir=tmp_path / "cache")
    trial.step()
    rows = [row for row in trial.finish().evaluations if row["image_id"] is not None]

    for name in names:
        assert rows
        assert all(-1 <= row[name] <= 1 for row in rows)
    before = domain_summary(domain).fingerprint
    Path(domain).write_text(Path(domain).read_text().replace("0.5]", "0.6]"))
    domain_summary.cache_clear()
    assert domain_summary(domain).fingerprint != before


def test_a_domain_s_files_are_checked_before_anything_runs(tmp_path: Path) -> None:
    write_pixel_model(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"weights")
    write_segmenter(tmp_path / "faces.onnx")
    lines = (
        "identity: {file: faces.onnx}\nsegmenter: {file: faces.onnx}\ninception: net.pth\nlpips: net.pth\n"
    )
    path = write_domain(tmp_path, extra=lines)

    found = dict(unfit_files(read_domain_source(path)))

    assert found.keys() == {"identity", "inception", "lpips"}
    assert "expected features" in found["identity"]
    assert "net.pth cannot be read as a checkpoint" in found["lpips"]
    ((outside, message),) = [
        (place, said)
        for place, said in cell_checks._check_network_files(domain_summary(path))
        if "identity" in str(place)
    ]
    assert "expected features" in message
    assert str(outside.file) == path
    domain_summary.cache_clear()
    Path(path).write_text(Path(path).read_text().replace("{file: faces.onnx}\ninc", "{file: gone.onnx}\ninc"))
    with pytest.raises(DomainError, match=r"segmenter names .*gone\.onnx, which does not exist\. Put https"):
        domain_summary(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "identity: {file: a.onnx, crop: [0.5, 0, 0.2, 1]}",
            "identity.* crop: expected top, left, bottom, right",
        ),
        ("identity: {file: a.onnx, crop: [0, 0, 2, 1]}", r"identity\.crop\[2\]: expected at most 1"),
        ("segmenter: {file: a.onnx, std: [0, 1, 1]}", r"segmenter\.std\[0\]: expected .*0; found 0"),
        ("segmenter: {fil: a.onnx}", r"segmenter\.fil: unknown setting.*; did you mean file\?"),
    ],
)
def test_wrong_settings_of_a_file_are_named(tmp_path: Path, line: str, said: str) -> None:
    path = write_domain(tmp_path, extra=f"{line}\n")

    with pytest.raises(DomainError, match=said):
        read_domain_source(path)
