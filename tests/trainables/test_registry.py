"""Discovery names the file that is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.registry import discover

Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**modules: str) -> str:
        name = f"variants_{tmp_path.name}"
        (tmp_path / name).mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(text)
        for loaded in [module for module in sys.modules if module.startswith(name)]:
            monkeypatch.delitem(sys.modules, loaded)
        return name

    return make


def found(package: str) -> dict[str, str]:
    return discover(package, "NAME", str, name_of=str)


def test_public_modules_are_found_and_private_ones_are_not(package: Package) -> None:
    name = package(one="NAME = 'one'", two="NAME = 'two'", _shared="NAME = 3")

    assert found(name) == {"one": "one", "two": "two"}


def test_a_missing_declaration_names_the_file(package: Package) -> None:
    with pytest.raises(ImportError, match=r"one.py must declare NAME of type str"):
        found(package(one=""))


def test_two_files_cannot_share_a_name(package: Package) -> None:
    with pytest.raises(ImportError, match=r"two.py declares 'one'; it must be named as its file is"):
        found(package(one="NAME = 'one'", two="NAME = 'one'"))
