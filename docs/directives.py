"""Directives that write reference pages from the program itself."""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from analysis.figures import FIGURES
from orchestrator.cli.parser import parser

Schema = Mapping[str, Any]


class HelpOf(SphinxDirective):
    """What `asyrp-sweep COMMAND --help` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One block of text."""
        (commands,) = (action.choices for action in parser()._actions if action.dest == "command")
        text = dict(commands or {})[self.arguments[0]].format_help()
        return [nodes.literal_block(text, text, language="text")]


class SettingsOf(SphinxDirective):
    """A table of the fields of a settings class, `module:Class`: name, values, default, meaning."""

    required_arguments = 1
    final_argument_whitespace = False

    def run(self) -> list[nodes.Node]:
        """One table."""
        module, _, name = self.arguments[0].partition(":")
        model = getattr(importlib.import_module(module), name)
        return self.parse_text_to_nodes("\n".join(_table(model)))


class OptionsOfFigures(SphinxDirective):
    """The same table for every kind of figure, under its name."""

    def run(self) -> list[nodes.Node]:
        """A heading and a table for each."""
        found: list[nodes.Node] = []
        for kind, figure in FIGURES.items():
            section = nodes.section(ids=[f"figure-{kind}"], names=[kind])
            section += nodes.title(kind, kind)
            section += self.parse_text_to_nodes("\n".join(_table(figure.config)))
            found.append(section)
        return found


def _table(model: type[BaseModel]) -> Iterator[str]:
    names, whole = models_json_schema([(model, "validation")])
    schema = whole["$defs"][names[(model, "validation")]["$ref"].rpartition("/")[2]]
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field.get("default"))
        cells = [f"`{name}`", _values(field, whole["$defs"]), default, field.get("description", "")]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _default(value: object) -> str:
    """A default as YAML would write it; nothing for a block, whose table has its own."""
    return "" if value is None or isinstance(value, dict) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _values(field: Schema, defs: Mapping[str, Schema]) -> str:
    """What a field may be, in words."""
    if "$ref" in field:
        return "a block"
    if "const" in field or "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field.get("enum", [field.get("const")]))
    options: Sequence[Schema] = field.get("anyOf", field.get("oneOf", ()))
    if options:
        return " or ".join(dict.fromkeys(_values(option, defs) for option in options))
    words = {"null": "nothing", "integer": "whole number", "string": "text", "boolean": "true or false"}
    if field.get("type") == "array":
        return "list"
    limits = [f"{sign} {field[key]}" for key, sign in _LIMITS.items() if key in field]
    kind = field.get("type", "anything")
    return " ".join([words.get(kind, "mapping" if kind == "object" else kind), ", ".join(limits)]).strip()


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("help-of", HelpOf)
    app.add_directive("settings-of", SettingsOf)
    app.add_directive("options-of-figures", OptionsOfFigures)
    return {"parallel_read_safe": True}
