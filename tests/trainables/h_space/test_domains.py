"""Domains: what ships, what a missing file says, and that identity follows content."""

import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from random_domains import write_domain, write_pixel_model

from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains import DomainError, domain_summary, read_domain_file, shipped_domains
from trainables.h_space.domains.files import clip_weights
from trainables.h_space.domains.folder import FolderImages
from trainables.h_space.domains.images import AvatarImages, in_order
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.family import FAMILY

AVATARS = Path(str(files("trainables.h_space.domains"))) / "avatars"


def copy_of_avatars(folder: Path) -> Path:
    shutil.copytree(AVATARS / "weights", folder / "weights")
    return Path(shutil.copy(AVATARS / "domain.yaml", folder))


def test_the_domains_that_ship() -> None:
    photographs = {"afhq_dog", "bedroom", "cat", "celebahq", "church", "ffhq", "metfaces"}
    latents = {"avatars_ldm", "celebahq_ldm", "stable_diffusion"}
    assert set(shipped_domains()) == {"avatars", *photographs, *latents}


@pytest.mark.parametrize("folder", [None, "nowhere"])
def test_a_domain_without_its_weights_says_which_command_makes_them(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AFHQ_DOG_MODEL", raising=False)
    if folder is not None:
        monkeypatch.setenv("AFHQ_DOG_MODEL", str(tmp_path / folder))
    domain_summary.cache_clear()

    with pytest.raises(
        DomainError, match="do not ship; this command makes them: asyrp-sweep convert-backbone afhq"
    ):
        domain_summary("afhq_dog")


def test_avatars_are_drawn_at_the_size_that_the_domain_says() -> None:
    smiling = ATTRIBUTES["smiling"]
    small, large = AvatarImages(), AvatarImages(64)
    ids = large.ids("test", 2, smiling)

    assert large.load(ids).shape == (2, 3, 64, 64)
    assert large.parts(ids).shape == (2, 64, 64)
    assert torch.nn.functional.avg_pool2d(large.load(ids), 2).sub(small.load(ids)).abs().mean() < 0.01
    assert large.counterfactuals(ids, smiling).shape == (2, 3, 64, 64)
    assert large.fingerprint != small.fingerprint
    with pytest.raises(ValueError, match="drawn as"):
        large.resize_to((3, 32, 32))


def test_the_summary_agrees_with_the_loaded_model() -> None:
    assert domain_summary("avatars").shape == load_domain("avatars").diffusion.shape


def test_every_offered_attribute_exists_and_can_be_drawn() -> None:
    assert all(ATTRIBUTES[name].redraw for name in domain_summary("avatars").attributes)


def test_a_copy_of_a_domain_has_its_fingerprint(tmp_path: Path) -> None:
    copied = domain_summary(str(copy_of_avatars(tmp_path)))

    assert copied.fingerprint == domain_summary("avatars").fingerprint


def test_other_weights_are_another_domain(tmp_path: Path) -> None:
    path = copy_of_avatars(tmp_path)
    weights = tmp_path / "weights" / "unet" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)

    assert domain_summary(str(path)).fingerprint != domain_summary("avatars").fingerprint


def test_an_unknown_domain_names_the_shipped_ones() -> None:
    with pytest.raises(
        DomainError,
        match=r"'avatar' is not a domain \(shipped: afhq_dog, avatars, avatars_ldm, ",
    ):
        read_domain_file("avatar")


def test_missing_clip_weights_say_what_is_expected_where(tmp_path: Path) -> None:
    path = copy_of_avatars(tmp_path)
    (tmp_path / "weights" / "clip" / "open_clip_model.safetensors").unlink()

    with pytest.raises(DomainError, match=r"no CLIP weights in .*clip; expected \*\.safetensors there"):
        domain_summary(str(path))


def test_weights_of_a_clip_are_found_beside_the_domains_file(tmp_path: Path) -> None:
    path = copy_of_avatars(tmp_path)
    text = path.read_text()
    (tmp_path / "mine.pt").touch()

    def named(pretrained: str) -> str:
        path.write_text(
            re.sub("clip: .*", f"clip: {{model: ViT-B-32, pretrained: {pretrained}}}", text, count=1)
        )
        return clip_weights(*read_domain_file(str(path)))

    assert named("./mine.pt") == named("mine.pt") == str(tmp_path / "mine.pt")
    assert named("openai") == "openai"
    for missing in ("./away", "away.pt", "/nowhere/weights"):
        with pytest.raises(DomainError, match=r"clip.pretrained names .*, which does not exist"):
            named(missing)


def test_a_missing_unet_is_named(tmp_path: Path) -> None:
    path = copy_of_avatars(tmp_path)
    shutil.rmtree(tmp_path / "weights" / "unet")

    with pytest.raises(DomainError, match=r"unet/config\.json is missing"):
        domain_summary(str(path))


def test_celebahq_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELEBAHQ", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises(DomainError, match="the environment variable CELEBAHQ is not set"):
        domain_summary("celebahq")


def test_an_unknown_key_of_a_domain_file_is_named(tmp_path: Path) -> None:
    path = copy_of_avatars(tmp_path)
    path.write_text(path.read_text() + "clipp: {}\n")

    with pytest.raises(DomainError, match="clipp"):
        domain_summary(str(path))


BAD_DOMAINS = {
    "a number as text": (
        "templates: avatars",
        "templates: avatars\ninception: 2026",
        "inception: expected text; found 2026",
    ),
    "a key twice": (
        "name: avatars",
        "name: avatars\nname: mine",
        "name: repeated key; it is already on line",
    ),
    "an unknown setting": ("clip:", "clipp: {}\nclip:", "clipp: unknown setting; did you mean clip?"),
    "an unknown attribute": (
        "templates: avatars",
        "templates: avatars\nattributes: [smilling]",
        "attributes[0]: expected an attribute; found 'smilling'; did you mean smiling?",
    ),
    "a CLIP without weights": (
        "templates: avatars",
        "templates: avatars\nclip_eval: {model: ViT-B-32}",
        "clip_eval: expected `folder`, or `model` and `pretrained`",
    ),
}


@pytest.mark.parametrize("case", BAD_DOMAINS)
def test_a_mistake_in_a_domain_file_is_told_with_its_line(tmp_path: Path, case: str) -> None:
    old, new, message = BAD_DOMAINS[case]
    path = copy_of_avatars(tmp_path)
    kept = [
        line for line in path.read_text().splitlines() if not line.startswith(("attributes:", "clip_eval:"))
    ]
    text = "\n".join(kept)
    assert old in text
    path.write_text(text.replace(old, new, 1))

    with pytest.raises(DomainError) as caught:
        read_domain_file(str(path))

    assert re.search(rf"^{re.escape(str(path))}:\d+  {re.escape(message)}", str(caught.value), re.MULTILINE)


def test_all_mistakes_of_a_domain_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: a\nname: b\ndiffusion: .nan\nclip: {}\nimages: {kind: folder}\n")

    with pytest.raises(DomainError) as caught:
        read_domain_file(str(path))

    assert [line.split("  ")[0].rpartition(":")[2] for line in str(caught.value).splitlines()] == list("2345")


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "expected a mapping; found nothing"), ("- a", "expected a mapping; found a list")],
)
def test_a_domain_file_that_is_no_mapping_is_told(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)

    with pytest.raises(DomainError, match=message):
        read_domain_file(str(path))


def test_a_folder_is_no_domain_file(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="is a folder; expected the YAML of a domain"):
        read_domain_file(str(tmp_path))


def test_a_folder_of_pictures_is_cropped_resized_and_in_range(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for name in ("b.png", "a.png"):
            Image.fromarray(np.full((40, 60, 3), 255, dtype=np.uint8)).save(tmp_path / split / name)
    source = FolderImages(tmp_path)
    source.resize_to((3, 16, 16))

    ids = source.ids("train", 2, ATTRIBUTES["smiling"])

    assert ids == ["train/a.png", "train/b.png"]
    assert source.load(ids).shape == (2, 3, 16, 16)
    assert source.load(ids).max() == 1.0
    with pytest.raises(ValueError, match="holds only 2 test images, 3 were asked"):
        source.ids("test", 3, ATTRIBUTES["smiling"])


@pytest.mark.parametrize("has_validation", [False, True])
def test_what_is_trained_validated_and_tested_on_never_overlaps(tmp_path: Path, has_validation: bool) -> None:
    for split in ("train", "test", *(["validation"] if has_validation else [])):
        (tmp_path / split).mkdir()
        for number in range(10):
            (tmp_path / split / f"{number}.png").write_bytes(b"looked at later")

    for source in (FolderImages(tmp_path), AvatarImages()):
        for seed in (None, 0, 1):
            validation = set(source.ids("validation", 2, ATTRIBUTES["smiling"], seed))
            test = set(source.ids("test", 9, ATTRIBUTES["smiling"], seed))
            trained = source.ids("train", 8, ATTRIBUTES["smiling"], seed, held_out="validation")
            assert len({*trained, *validation, *test}) == 8 + 2 + 9


def test_a_seed_shuffles_a_split_and_more_images_begin_as_fewer_do() -> None:
    first, more, other = (
        list(in_order(range(20), "train", seed))[:count] for seed, count in ((3, 5), (3, 20), (4, 5))
    )

    assert first == more[:5] != other
    assert sorted(more) == list(range(20))


@pytest.mark.parametrize(
    ("schedule", "t_edit"),
    [({}, 513), ({"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}, 561)],
)
def test_a_published_timestep_is_the_models_own_of_equal_noise(
    schedule: dict[str, Any], t_edit: int, tmp_path: Path
) -> None:
    write_pixel_model(tmp_path, **schedule)
    cell = {"domain": write_domain(tmp_path), "training": {"t_edit": {"like": 513}}}

    settings, _ = FAMILY.settled(cell)

    assert settings["training"] == {"t_edit": t_edit}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("{like: 1000}", "expected at most 999; found 1000"),
        ("soon", "expected a whole number, 'auto' or a mapping; found 'soon'"),
    ],
)
def test_a_timestep_that_nothing_has_is_one_message(asked: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_space("encoder", settings=[f"training.t_edit={asked}"])

    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_domain_that_extends_another_has_its_files_and_settings(tmp_path: Path) -> None:
    base = copy_of_avatars(tmp_path)
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "mine.yaml"
    path.write_text(
        "extends: ../domain.yaml\nname: mine\nattributes: [smiling]\ndefaults: {training: {epochs: 7}}\n"
    )

    mine, avatars = domain_summary(str(path)), domain_summary(str(base))

    assert mine.fingerprint == avatars.fingerprint
    assert mine.attributes == ("smiling",)
    training = {**avatars.defaults["training"], "epochs": 7}
    assert mine.defaults == {**avatars.defaults, "training": training}


@pytest.mark.parametrize(
    ("own", "below", "message"),
    [
        ("extends: base.yaml", "clipp: 1", r"base.yaml:1  clipp: unknown setting; did you mean clip\?"),
        (
            "extends: base.yaml",
            "extends: mine.yaml",
            r"base.yaml:1  extends: comes back to itself: .*mine.yaml",
        ),
        ("extends: away.yaml", "", r"mine.yaml:1  extends: 'away.yaml' is not a domain \(shipped"),
        ("extends: [avatars]", "", r"mine.yaml:1  extends: expected text; found a list"),
        (
            "extends: avatars\nper_attribute: {smilling: {}}",
            "",
            "mine.yaml:2  per_attribute.smilling: expected an attr",
        ),
    ],
)
def test_what_is_wrong_with_an_extended_domain_is_told_where_it_is_written(
    own: str, below: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(own)
    (tmp_path / "base.yaml").write_text(below)

    with pytest.raises(DomainError, match=message):
        read_domain_file(str(tmp_path / "mine.yaml"))
