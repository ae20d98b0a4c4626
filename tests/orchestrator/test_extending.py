"""A space says only what differs from another one, and mistakes are told in the file that makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Space
from orchestrator.study.document import study_document
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise

BASE = """\
question: Which encoder edits best?
baseline:
  domain: tiny
  attribute: smiling
  editor: {kind: pixel_channel, num_heads: 4, norm: group}
axes:
  encoder: {path: editor.kind, values: [pixel_channel, conv]}
  heads: {path: editor.num_heads, values: [2, 4]}
design: {kind: one_factor, interactions: [[encoder, heads]]}
seeds: 2
primary: {metric: s_dir, margin: 0.05}
"""

Write = Callable[..., Space]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summarise: Summarise) -> Write:
    """Load `sub/mine.yaml` with the given text; further files by name."""
    monkeypatch.chdir(tmp_path)

    def load(text: str, **others: str) -> Space:
        (tmp_path / "sub").mkdir(exist_ok=True)
        Path("base.yaml").write_text(BASE)
        Path("sub/mine.yaml").write_text(text)
        for name, content in others.items():
            Path(f"{name}.yaml").write_text(content)
        return load_space("sub/mine.yaml", family=HSpace(summarise))

    return load


def test_what_a_space_does_not_say_is_as_in_the_one_it_extends(write: Write) -> None:
    text = "extends: ../base.yaml\nbaseline: {attribute: goblin}\naxes: {encoder: {values: [pixel_channel, pixel]}}\n"

    space = write(text)

    plan = build_plan(space)
    assert space.name == "mine"
    assert {cell.config.attribute for cell in plan.cells} == {"goblin"}
    assert [cell.name for cell in plan.cells][:3] == ["baseline", "encoder=pixel", "heads=2"]
    assert study_document(plan, space)["extended"] == [{"file": "sub/../base.yaml", "text": BASE}]


def test_a_block_of_another_kind_replaces_the_inherited_one(write: Write) -> None:
    text = "extends: ../base.yaml\ndesign: product\naxes: {heads: null}\n"
    text += "baseline: {editor: {kind: pixel_channel, norm: none}}\n"

    config = write(text).config

    assert config.design.kind == "product"
    assert list(config.axes) == ["encoder"]
    assert config.baseline["editor"] == {"kind": "pixel_channel", "num_heads": 4, "norm": "none"}
    assert write("extends: ../base.yaml\naxes: {encoder: null, heads: null}\ndesign: product\n"
                 "baseline: {editor: {kind: conv}}\n").config.baseline["editor"] == {"kind": "conv"}  # fmt: skip


def test_a_chain_of_spaces_is_followed(write: Write) -> None:
    space = write(
        "extends: ../middle.yaml\nseeds: 5\n", middle="extends: base.yaml\nseeds: 4\nquestion: Why?\n"
    )

    assert len(space.config.first_seeds) == 5
    assert space.config.question == "Why?"
    assert [file for file, _ in space.extended] == ["sub/../middle.yaml", "sub/../base.yaml"]


def test_a_shipped_space_can_be_extended_by_its_name(write: Write, tmp_path: Path) -> None:
    space = write("extends: encoder\nseeds: 3\nbaseline: {domain: tiny}\n")

    assert "encoder" in space.config.axes
    assert len(space.config.first_seeds) == 3


def test_a_mistake_is_told_in_the_file_that_makes_it(write: Write) -> None:
    text = "extends: ../base.yaml\nbaseline:\n  editor: {num_heads: 3}\naxes:\n  encoder: {values: [pixel_channel, x]}"

    with pytest.raises(ConfigError) as caught:
        write(text.replace("base", "wrong"), wrong=BASE.replace("s_dir", "sdir").replace("[2, 4]", "[3, 5]"))

    places = [(problem.file, problem.line, problem.where) for problem in caught.value.problems]
    assert ("sub/mine.yaml", 5, "axes.encoder.values[1]") in places
    assert ("sub/../wrong.yaml", 8, "axes.heads.values[1]") in places
    assert ("sub/../wrong.yaml", 11, "primary.metric") in places
    assert places == sorted(places, key=lambda place: (place[0] != "sub/mine.yaml", place[1]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\nextends: ../bas.yaml",
            "sub/mine.yaml:2  extends: '../bas.yaml' is neither a shipped space nor a file",
        ),
        ("extends: 3", "sub/mine.yaml:1  extends: expected a shipped space or the path of a file; found 3"),
        (
            "extends: mine.yaml",
            "sub/mine.yaml:1  extends: comes back to itself: sub/mine.yaml -> sub/mine.yaml",
        ),
        (
            "extends: ./mine.yaml",
            "sub/mine.yaml:1  extends: comes back to itself: sub/mine.yaml -> sub/mine.yaml",
        ),
        (
            "extends: ../sub/mine.yaml",
            "sub/mine.yaml:1  extends: comes back to itself: sub/mine.yaml -> sub/../sub/mine.yaml",
        ),
        ("extends: ../list.yaml", "sub/../list.yaml:1  expected a mapping; found a list"),
    ],
)
def test_what_cannot_be_extended_is_told(write: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write(text, list="- a\n")

    assert str(caught.value).startswith(message)


def test_the_domain_of_an_extended_space_is_found_beside_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").touch()

    space = write("extends: ../other.yaml\n", other=BASE.replace("domain: tiny", "domain: domain.yaml"))

    assert Path(space.config.baseline["domain"]).resolve() == tmp_path / "domain.yaml"
