"""`doctor --domain`: every file of a domain, what it enables, how large it is, and where a missing one goes."""

import argparse
import re
from pathlib import Path

import pytest
from random_domains import write_domain, write_latent_model, write_pixel_model

from orchestrator.cli import parser as cli
from orchestrator.cli.disk_probe import Finding
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.cli.checks import parts_of_domain, settings_of_domain
from trainables.h_space.domains import DomainError, DomainSummary, shipped_domains
from trainables.h_space.domains.files import read_domain_source
from trainables.h_space.family import HSpace


def found(domain: str, *, try_it: bool = False) -> dict[str, Finding]:
    options = argparse.Namespace(domain=domain, try_it=try_it)
    return {finding.name.split()[-1]: finding for finding in parts_of_domain(options)}


def test_a_domain_that_lacks_nothing_it_names_has_nothing_to_fix() -> None:
    parts = found("avatars")

    assert {part.level for part in parts.values()} == {"ok", "note"}
    assert "attributes and" in parts["settings"].found
    assert parts["diffusion"].level == parts["clip"].level == parts["images"].level == "ok"
    assert "MB), of pixels; enables everything" in parts["diffusion"].found
    assert "not named; enables frechet_distance, " in parts["inception"].found
    advice = parts["inception"].advice
    assert "6726825d.pth (96 MB, which torch-fidelity reads: pip install 'asyrp-sweep[metrics]')" in advice
    assert "and add `inception: PATH` to a copy of " in advice
    assert parts["segmenter"].found == (
        "avatars, of the package or a plugin; enables segmentation_consistency, "
        "segmentation_consistency_from_reconstruction"
    )
    assert parts["identity"].found == "not named; enables identity_similarity"
    assert "onnxruntime reads" in parts["identity"].advice
    assert "enables lpips; `interval`" in parts["lpips"].found
    assert "s_dir_second" in parts["clip_eval"].found


def test_every_file_that_is_missing_is_named_with_its_place(tmp_path: Path) -> None:
    path = write_domain(tmp_path, extra="inception: nets/inception.pth\nlpips: nets/alexnet.pth\n")

    parts = found(path)

    wrong = {name: part for name, part in parts.items() if part.level == "FIX"}
    assert set(wrong) == {"diffusion", "inception", "lpips", "random"}
    assert f"vae/ or vqvae/ for a model of latents) at {tmp_path / 'model'}" in wrong["diffusion"].advice
    assert f"{tmp_path / 'nets/alexnet.pth'} does not exist; enables lpips" in wrong["lpips"].found
    assert "alexnet-owt-7be5be79.pth (233 MB, which lpips reads" in wrong["lpips"].advice


def test_a_model_of_latents_says_so_and_what_keeps_it_from_use(tmp_path: Path) -> None:
    write_latent_model(tmp_path)
    path = write_domain(tmp_path)
    tried = found(path, try_it=True)
    assert "of latents" in tried["diffusion"].found
    assert "scaling_factor 0.18215" in tried["latents"].found
    assert found("avatars", try_it=True)["latents"].found == "none: the diffusion model works on pixels"

    write_pixel_model(tmp_path)  # in the place of the U-Net that the autoencoder belongs to
    (tmp_path / "other.yaml").write_text(Path(path).read_text())
    parts = found(str(tmp_path / "other.yaml"))

    assert "do not belong together" in parts["random"].advice


@pytest.mark.parametrize("name", sorted(set(shipped_domains()) - {"avatars", "avatars_ldm"}))
def test_shipped_domains_say_what_they_still_need(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in re.findall(r"\$(\w+)", shipped_domains()[name].read_text()):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("CELEBAHQ", raising=False)

    parts = found(name)

    assert parts["images"].level == "FIX"
    assert "train/ and test/" in parts["images"].advice
    assert "is not set" in parts[name].advice


@pytest.mark.parametrize("name", shipped_domains())
def test_settings_of_shipped_domains_fit_a_published_bottleneck(name: str) -> None:
    source = read_domain_source(name)
    own = source.domain
    declared = [attribute for attribute, said in own.per_attribute.items() if "texts" in said]
    offered = (*(ATTRIBUTES if own.attributes is None else own.attributes), *declared)
    layers = (own.defaults, own.per_attribute, own.per_editor, own.stand_ins)
    summary = DomainSummary(own.name, "", BottleneckShape(512, 8, 8, 512), offered, *layers, source=source)

    (finding,) = settings_of_domain(summary, name, HSpace(lambda _: summary))

    assert finding.level == "ok"


def test_wrong_settings_of_a_domain_are_named_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: avatars\nname: mine\ndefaults: {training: {num_imagez: 3}}\nper_attribute:\n"
        "  smiling: {training: {t_edit: 5000}}\nper_editor:\n  pixell: {training: {epochs: 3}}\n"
        "  pixel: {editor: {num_heads: 7}}\n"
    )
    options = argparse.Namespace(domain=str(path), try_it=False)

    found = [one for one in parts_of_domain(options) if one.name == "mine settings"]

    assert [one.level for one in found] == ["note", "FIX", "FIX", "FIX"]
    assert "found 'pixell'; did you mean pixel?" in found[0].found
    assert f"{path}:3  defaults.training.num_imagez: unknown setting" in found[1].found
    assert f"{path}:5  per_attribute.smiling.training.t_edit: expected at most 999" in found[2].found
    assert f"{path}:8  per_editor.pixel.editor.num_heads: num_heads 7 does not divide" in found[3].found


def test_models_of_no_domain_cannot_be_tried() -> None:
    with pytest.raises(DomainError, match="--try: of which domain"):
        list(parts_of_domain(argparse.Namespace(domain=None, try_it=True)))


def test_a_domain_that_is_none_is_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = cli.main(["doctor", "--domain", "avatar", "--results", str(tmp_path)])

    assert code == 2
    assert "'avatar' is not a domain" in " ".join(capsys.readouterr().err.split())
