"""The CLIP wrapper and its word tokenizer, on a small random model and on the shipped one."""

import json
import sys
from importlib.resources import as_file, files
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from trainables.h_space import clip as clip_module
from trainables.h_space.clip import ClipModel
from trainables.h_space.clip_folder import ClipNotFoundError
from trainables.h_space.pretrain.avatars_clip_losses import contrastive_loss
from trainables.h_space.word_tokenizer import UnknownWordError, WordTokenizer


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    with as_file(files("trainables.h_space.domains.avatars") / "weights" / "clip") as folder:
        return ClipModel.from_folder(Path(folder))


def test_embeddings_are_unit_vectors(clip: ClipModel) -> None:
    x = torch.zeros(2, 3, 32, 32)

    images, texts = clip.image(x), clip.text(["face", "smiling face"])

    assert torch.allclose(images.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)


def test_it_answers_as_the_model_that_open_clip_builds_and_fills(clip: ClipModel) -> None:
    with as_file(files("trainables.h_space.domains.avatars") / "weights" / "clip") as folder:
        config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
        weights = load_file(folder / "open_clip_model.safetensors")
    whole = open_clip.CLIP(**config).eval().requires_grad_(False)
    whole.load_state_dict({name: value.float() for name, value in weights.items()})
    tokens, x = clip.tokenizer(["face", "smiling face"]), torch.rand(2, 3, *clip.image_size)

    assert not any(tensor.is_meta for tensor in (*clip.model.parameters(), *clip.model.buffers()))
    assert torch.equal(clip.model.attn_mask, whole.attn_mask)
    assert torch.equal(clip.model.encode_text(tokens), whole.encode_text(tokens))
    assert torch.equal(clip.model.encode_image(x), whole.encode_image(x))


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_model_that_open_clip_knows_holds_the_weights_of_its_file(
    clip: ClipModel, tmp_path: Path, name: str
) -> None:
    with as_file(files("trainables.h_space.domains.avatars") / "weights" / "clip") as folder:
        config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    (tmp_path / "of-this-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    expected = {key: value.clone() for key, value in clip.model.state_dict().items()}
    if name.endswith("pt"):
        torch.save(expected, tmp_path / name)
    else:
        save_file(expected, tmp_path / name, {"padding": "of a header that no tensor is aligned after"})

    found = ClipModel.from_pretrained("of-this-test", str(tmp_path / name))

    assert found.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in found.model.state_dict().items())
    assert torch.equal(found.model.attn_mask, clip.model.attn_mask)
    assert torch.nn.Linear(4, 4).weight.std() > 0  # what is built afterwards is drawn as ever
    plain = open_clip.create_model("of-this-test", str(tmp_path / name)).eval().requires_grad_(False)
    texts, x = ["face", "smiling face"], torch.rand(2, 3, *clip.image_size) * 2 - 1
    assert torch.equal(
        found.image(x), plain.encode_image((((x + 1) / 2) - found._mean) / found._std, normalize=True)
    )
    if sys.platform == "linux":
        assert name in mapped_from(found.model.token_embedding.weight)  # nothing of the texts' tower was read
    found.tokenizer = clip.tokenizer  # that of a model of this name knows more words
    assert torch.equal(found.text(texts), plain.encode_text(found.tokenizer(texts), normalize=True))
    assert all(weight.data_ptr() % 64 == 0 for weight in found.model.parameters())


def test_what_embeds_texts_goes_to_a_device_with_the_first_text() -> None:
    with as_file(files("trainables.h_space.domains.avatars") / "weights" / "clip") as folder:
        found = ClipModel.from_folder(folder).to("meta")

    assert found.image(torch.zeros(1, 3, *found.image_size, device="meta")).is_meta
    assert not found.model.token_embedding.weight.is_meta
    assert found.text(["face"]).is_meta
    assert found.model.token_embedding.weight.is_meta


def mapped_from(tensor: torch.Tensor) -> str:
    """The line of this process's memory that a tensor lies in; it ends with the file's path where it is one's."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return line
    raise AssertionError("in no part of memory")


def test_gradient_reaches_the_pixels_and_not_the_weights(clip: ClipModel) -> None:
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)

    clip.image(x)[0, 0].backward()

    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in clip.model.parameters())


def test_pictures_of_another_size_are_resized(clip: ClipModel) -> None:
    assert clip.image(torch.zeros(1, 3, 64, 64)).shape == clip.image(torch.zeros(1, 3, 32, 32)).shape


def test_perceptual_distance_is_zero_to_itself_and_symmetric(clip: ClipModel) -> None:
    a, b = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    assert torch.allclose(clip.perceptual_distance(a, a), torch.zeros(2), atol=1e-6)
    assert torch.allclose(clip.perceptual_distance(a, b), clip.perceptual_distance(b, a))
    assert (clip.perceptual_distance(a, b) > 0).all()


def test_fingerprint_is_that_of_the_files(clip: ClipModel, tmp_path: Path) -> None:
    with as_file(files("trainables.h_space.domains.avatars") / "weights" / "clip") as folder:
        for path in Path(folder).iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    same = ClipModel.from_folder(tmp_path).fingerprint
    config = tmp_path / "open_clip_config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    assert same == clip.fingerprint
    assert ClipModel.from_folder(tmp_path).fingerprint != clip.fingerprint


def test_empty_folder_says_which_files_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(
        ClipNotFoundError, match=r"open_clip_config\.json and no open_clip_model\.safetensors"
    ):
        ClipModel.from_folder(tmp_path)


def test_unknown_words_are_named_with_their_neighbours() -> None:
    tokenizer = WordTokenizer(["face", "smiling"], context_length=6)

    with pytest.raises(UnknownWordError, match=r"'elf'.*'smilling' \(nearest: smiling\)"):
        tokenizer(["smilling face", "elf"])


def test_end_token_is_the_highest_id_and_follows_the_words() -> None:
    tokenizer = WordTokenizer(["face", "smiling"], context_length=6)

    tokens = tokenizer(["Smiling face"])

    assert tokens.tolist() == [[1, 3, 2, 4, 0, 0]]
    assert tokens.argmax(1).item() == 3


def test_too_long_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="3 words; at most 2 fit"):
        WordTokenizer(["face"], context_length=4)("face face face")


def test_contrastive_loss_does_not_blame_a_caption_true_of_two_pictures() -> None:
    images = torch.eye(2)
    both_true, texts = torch.ones(2, 2), torch.tensor([[0.7071, 0.7071], [0.7071, 0.7071]])

    loss = contrastive_loss(images, texts, both_true, torch.tensor(10.0))

    assert loss == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=1e-4)


def test_a_gpu_resizes_with_the_weights_that_a_cpu_resizes_with() -> None:
    """On a GPU the resize is two matrix products (`_resized`)."""
    x = torch.randn(2, 3, 40, 25, generator=torch.Generator().manual_seed(0))

    rows, columns = clip_module._resizing(40, 12, x.device), clip_module._resizing(25, 30, x.device)

    by_matrices = rows @ x @ columns.T

    torch.testing.assert_close(by_matrices, clip_module._interpolated(x, (12, 30)))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of the kind of RN50, narrower, with random weights in open_clip's layout."""
    size = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}
    config = {
        "embed_dim": 16,
        "vision_cfg": size,
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    folder = tmp_path_factory.mktemp("resnet")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    return folder


def test_a_resnet_embeds_and_tells_distances_as_a_transformer_does(resnet: Path) -> None:
    clip = ClipModel.from_folder(resnet)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()

    embedded = clip.image(pictures)
    features = clip.image_features(pictures)
    distance = clip.perceptual_distance(pictures, pictures.flip(0))
    distance.sum().backward()

    assert embedded.shape == clip.text(["a face", "a church"]).shape == (2, 16)
    assert [tuple(one.shape[1:]) for one in features] == [(256, 8), (256, 32), (64, 64), (16, 128), (4, 256)]
    assert torch.allclose(distance[0], distance[1])
    assert 0 < distance[0].item() < 4
    assert torch.allclose(clip.perceptual_distance(pictures, pictures), torch.zeros(2), atol=1e-6)
    assert pictures.grad is not None
    assert pictures.grad.abs().max() > 0
