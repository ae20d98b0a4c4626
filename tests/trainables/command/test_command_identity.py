"""What makes a command what it is."""

from pathlib import Path

import pytest

from trainables.command.config import CommandConfig
from trainables.command.identity import source_digests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "train.py").write_text("x = 1\n")
    (tmp_path / "src" / "model.py").write_text("y = 1\n")
    (tmp_path / "data.csv").write_text("1,2\n")
    return tmp_path


def digests(folder: Path, command: str, *sources: str) -> dict[str, str]:
    metrics = {"accuracy": "higher is better"}
    content = {"command": command, "metrics": metrics, "sources": [*sources], "base_folder": str(folder)}
    return source_digests(CommandConfig.model_validate(content))


def test_files_that_the_command_names_count_however_they_are_named(folder: Path) -> None:
    for command in (
        "{python} train.py --data=data.csv",
        "{python} {here}/train.py --data {here}/data.csv {lr}",
    ):
        assert list(digests(folder, command)) == ["data.csv", "train.py"]


def test_sources_are_globs(folder: Path) -> None:
    assert list(digests(folder, "{python} train.py", "**/*.py")) == ["src/model.py", "train.py"]


def test_what_is_no_file_of_the_folder_does_not_count(folder: Path) -> None:
    assert digests(folder, f"/bin/sh absent.py {'x' * 5000} {{folder}}/train.py src") == {}


def test_a_change_counts_and_a_comment_in_python_does_not(folder: Path) -> None:
    before = digests(folder, "{python} train.py data.csv")

    (folder / "train.py").write_text("# a comment\nx  =  1\n")
    (folder / "data.csv").write_text("1,3\n")
    after = digests(folder, "{python} train.py data.csv")

    assert after["train.py"] == before["train.py"]
    assert after["data.csv"] != before["data.csv"]
    (folder / "train.py").write_text("x = 2\n")
    assert digests(folder, "{python} train.py")["train.py"] != before["train.py"]


def test_python_that_does_not_parse_counts_as_it_is(folder: Path) -> None:
    (folder / "train.py").write_text("x = (")

    assert list(digests(folder, "{python} train.py")) == ["train.py"]


def test_modules_that_the_script_imports_from_beside_it_count(folder: Path) -> None:
    (folder / "train.py").write_text("import json\nfrom src.model import y\nimport helpers\n")
    (folder / "helpers.py").write_text("def late():\n    from src import extra\n")
    (folder / "src" / "extra.py").write_text("from . import model\n")

    found = digests(folder, "{python} train.py")

    assert list(found) == ["helpers.py", "src/extra.py", "src/model.py", "train.py"]
    assert digests(folder, "{python} -m src.extra") == {
        name: digest for name, digest in found.items() if name.startswith("src/")
    }


def test_files_that_settings_environment_and_a_shell_name_count(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}.bin"
    elsewhere.write_bytes(b"weights")
    content = {
        "command": "{python} train.py < data.csv",
        "shell": True,
        "settings": {"inputs": ["src/model.py", 3]},
        "environment": {"WEIGHTS": str(elsewhere)},
        "metrics": {"accuracy": "higher is better"},
        "base_folder": str(folder),
    }

    found = source_digests(CommandConfig.model_validate(content))

    assert sorted(found) == sorted([str(elsewhere), "data.csv", "src/model.py", "train.py"])
