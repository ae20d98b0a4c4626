"""Reference pages leave nothing out."""

import importlib
import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from analysis.figures import FIGURES
from orchestrator.cli import parser as cli
from orchestrator.space.config import SpaceConfig
from trainables.h_space.layers import SpaceKeys

DOCS = Path(__file__).parents[2] / "docs"
FAMILY = """
from asyrp_sweep import Family, Settings

class Config(Settings):
    width: int = 4

def train(config, seed):
    return {"score": config.width + 0.01 * seed}

FAMILY = Family("mine", Config, train, metrics={"score": "higher is better"})
"""
SPACE = """
question: Does the width matter?
family: ./mine.py
baseline: {width: 4}
axes:
  width: {path: width, values: [4, 8]}
seeds: 3
primary: {metric: score, margin: 0.1}
"""


def _read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_every_key_of_a_space_has_an_example() -> None:
    blocks = "\n".join(re.findall(r"^```yaml\n(.*?)^```", _read("spaces.md"), re.M | re.S))

    keys = {*SpaceConfig.model_fields, *SpaceKeys.model_fields} - {"schema_version"}
    assert sorted(key for key in keys if not re.search(rf"^{key}:", blocks, re.M)) == []


def test_every_command_has_a_section_with_its_help() -> None:
    page = _read("reference/commands.md")

    (commands,) = (action.choices for action in cli.parser()._actions if action.dest == "command")
    assert isinstance(commands, dict)
    assert [
        name for name in commands if f"## {name}\n" not in page or f"```{{help-of}} {name}\n" not in page
    ] == []


def test_every_key_of_the_json_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FAMILY)
    Path("mine.yaml").write_text(SPACE)
    cli.main(["run", "mine.yaml", "--inline"])
    capsys.readouterr()
    cli.main(["status", "mine.yaml", "--json"])
    status = json.loads(capsys.readouterr().out)
    cli.main(["plan", "mine.yaml", "--seeds", "4", "--json"])
    plan = json.loads(capsys.readouterr().out)

    page = set(re.findall(r"\w+", _read("reference/commands.md").split("## JSON")[1]))
    shown = [status, status["counts"], status["trials"][0], plan, plan["trials"][0], plan["cells"][0]]
    ranges = {key.removesuffix("_low").removesuffix("_high") for key in plan["price"]}
    assert {key for keys in [*shown, ranges] for key in keys} - page == set()


def _models(page: str) -> list[type[BaseModel]]:
    named = re.findall(r"\{settings-of\} ([\w.]+):(\w+)", page)
    listed = [getattr(importlib.import_module(module), name) for module, name in named]
    return [*listed, *(figure.config for figure in FIGURES.values())]


def test_every_setting_on_its_page_says_what_it_means() -> None:
    """The text under a field is what the page, the JSON Schema and editors of YAML show; a `kind` explains itself."""
    silent = [
        f"{model.__module__}.{model.__name__}.{name}"
        for model in _models(_read("reference/settings.md"))
        for name, field in model.model_fields.items()
        if not field.description and name != "kind"
    ]

    assert silent == []


def test_every_test_that_a_page_names_is_there() -> None:
    missing = []
    for page in DOCS.rglob("*.md"):
        file = ""
        for path, name in re.findall(
            r"(tests/[\w/]+\.py)?(?:::(test_\w+))?", page.read_text(encoding="utf-8")
        ):
            file = path or file
            text = (DOCS.parent / file).read_text(encoding="utf-8") if (DOCS.parent / file).is_file() else ""
            if (path and not text) or (name and f"def {name}(" not in text):
                missing.append(f"{page.name}: {path or file} {name}")
    assert missing == []
