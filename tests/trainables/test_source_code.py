"""Fingerprints of source code: which change of which file is noticed, and by which trials."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trainables
from trainables import source_code
from trainables.h_space.config import CellConfig
from trainables.h_space.family import FAMILY
from trainables.source_code import code_digest, imported_by, text_digest

Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Change a file of a copy of the package, which is what fingerprints read."""
    copy = tmp_path / "trainables"
    shutil.copytree(
        Path(trainables.__path__[0]), copy, ignore=lambda _, names: [n for n in names if is_data(n)]
    )
    monkeypatch.setattr(source_code, "_root", lambda package: copy if package == "trainables" else None)

    def change(name: str, old: str, new: str) -> None:
        path = copy / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        source_code._code_digest.cache_clear()

    source_code._code_digest.cache_clear()
    yield change
    source_code._code_digest.cache_clear()


def is_data(name: str) -> bool:
    return "." in name and not name.endswith(".py")


def cell(kind: str = "conv", **evaluation: object) -> CellConfig:
    content = {
        "domain": "avatars",
        "attribute": "smiling",
        "editor": {"kind": kind},
        "evaluation": evaluation,
    }
    return CellConfig.model_validate(content)


def codes() -> dict[str, str]:
    """The fingerprint of each of these cells' code."""
    cells = {
        "conv": cell(),
        "pixel": cell("pixel"),
        "segmented": cell(metrics=["segmentation_consistency"]),
        "mean": cell(delta_h="mean"),
    }
    return {name: FAMILY.code(config) for name, config in cells.items()}


def test_a_copy_elsewhere_has_the_fingerprint_of_the_package(
    edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = codes()

    monkeypatch.undo()
    source_code._code_digest.cache_clear()

    assert codes() == copied
    assert len(set(copied.values())) == len(copied)


LINES = [
    ("h_space/editors/conv.py", "kernel_size=1", "kernel_size=3", "conv"),
    ("h_space/editors/_layers.py", "dim=1", "dim=-1", "all"),
    ("h_space/losses.py", "mean()", "sum()", "all"),
    ("h_space/training.py", "range(", "reversed(", "all"),
    ("h_space/metrics/s_dir.py", "1 - directional_loss", "2 - directional_loss", "all"),
    ("h_space/metrics/segmentation_consistency.py", "union > 0", "union > 1", "segmented"),
    ("h_space/segmenters/avatars.py", "eval()", "train()", "segmented"),
    ("h_space/mean_delta_h.py", "num_images = 0", "num_images = 1", "mean"),
    ("h_space/diffusion.py", "    return", "    return 1 +", "all"),
    ("h_space/domains/avatars/drawing.py", "SIZE: Final = 32", "SIZE: Final = 31", "all"),
    ("randomness.py", "[:8]", "[:7]", "all"),
    ("h_space/editors/channel.py", "kind", "sort", "none"),
    ("h_space/attributes.py", '"smiling face"', '"happy face"', "none"),
    ("h_space/domains/decoding.py", '"RGB"', '"BGR"', "none"),
    ("h_space/pilot.py", "import", "import sys, ", "none"),
    ("wording.py", "def expected", "def awaited", "none"),
]
"""File, a text in it, what takes its place, and which trials notice."""


def test_a_line_is_noticed_by_the_trials_that_use_it_and_no_others(edit: Edit) -> None:
    before = codes()
    named = {"conv": {"conv", "segmented", "mean"}, "all": {*before}, "none": set()}

    found = {}
    for file, old, new, _ in LINES:
        edit(file, old, new)
        found[file] = {name for name, code in codes().items() if code != before[name]}
        edit(file, new, old)

    assert found == {file: named.get(noticed, {noticed}) for file, _, _, noticed in LINES}
    assert codes() == before


def test_the_other_families_notice_their_own_lines(edit: Edit) -> None:
    from trainables.command.family import FAMILY as COMMAND
    from trainables.family import Family
    from trainables.molecules.family import FAMILY as MOLECULES
    from trainables.settings import Settings

    egnn, transformer = (
        MOLECULES.Config.model_validate({"model": {"kind": kind}}) for kind in ("egnn", "transformer")
    )
    asked = {
        "egnn": lambda: MOLECULES.code(egnn),
        "transformer": lambda: MOLECULES.code(transformer),
        "command": lambda: COMMAND.code(None),
        "function": lambda: Family("mine", Settings, lambda config, seed, report: {}).code(None),
    }
    before = {name: ask() for name, ask in asked.items()}

    def changed() -> set[str]:
        return {name for name, ask in asked.items() if ask() != before[name]}

    edit("molecules/models/egnn.py", "    return", "    return 1 +")
    assert changed() == {"egnn"}
    edit("command/reading.py", "    return", "    return 1 +")
    assert changed() == {"egnn", "command"}
    edit("function_trial.py", "    return", "    return 1 +")
    assert changed() == {"egnn", "command", "function"}


SAID = '''
"""A module."""
import math

# A comment.
class Loss:
    """A class."""

    weight: float = 0.5
    """What it weighs."""

    def value(self, x):
        """A function."""
        if x < 0:
            raise ValueError(f"expected a positive number; found {x}")
        return math.log(x) * self.weight
'''

SAME = """
import math
class Loss:
    weight: float = .50
    def value(self, x):
        if (x < 0): raise ValueError(f"{x} is negative")

        return (
            math.log(x)
            * self.weight  # weighed
        )
"""


def test_comments_docstrings_layout_and_words_of_errors_say_nothing() -> None:
    assert text_digest(SAID) == text_digest(SAME)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5", "0.6"),
        ("< 0", "<= 0"),
        ("math.log(x)", "math.log2(x)"),
        ("ValueError", "TypeError"),
        ("x)", "y)"),
    ],
)
def test_what_is_computed_is_said(old: str, new: str) -> None:
    assert text_digest(SAID.replace(old, new)) != text_digest(SAID)


def test_imports_are_found_in_functions_and_relative_ones_too() -> None:
    text = "import a.b\ndef f():\n    from . import c\n    from ..d import e\n"

    assert imported_by(text, "top.inner") == ("a.b", "top.inner", "top.inner.c", "top.d", "top.d.e")


def test_what_is_no_module_is_a_mistake_and_what_is_in_one_is_none() -> None:
    assert code_digest(["trainables.randomness.generator_for"]) == code_digest(["trainables.randomness"])
    with pytest.raises(ValueError, match=r"trainables\.absent\.one is neither a module nor in one"):
        code_digest(["trainables.absent.one"])
