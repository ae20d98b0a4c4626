"""The JSON Schema of a space, generated from the models that check it, for tools that complete and check YAML.

It knows all names that exist in this installation (settings, metrics, designs, figures). What it cannot
know, such as which axes a space has or which cells fit a domain, `asyrp-sweep plan` tells.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.plan.loading import space_model
from orchestrator.space.designs import DESIGNS
from trainables.families import DEFAULT_FAMILY, family_names, find_family
from trainables.family import Family
from trainables.yaml_tree import HELPER

FILE = "space.schema.json"
"""Name of the shipped file, beside the spaces, for those of the default family; see `schema_file`."""

Schema = dict[str, Any]


def schema_file(family: str = DEFAULT_FAMILY) -> str:
    """Name of the file with the schema of a family's spaces."""
    return FILE if family == DEFAULT_FAMILY else f"space.{family}.schema.json"


def schema_text(figures: Mapping[str, type[BaseModel]], named: str = DEFAULT_FAMILY) -> str:
    """The schema as the shipped file holds it. `figures` are the options of every kind of figure."""
    return json.dumps(space_schema(figures, named), indent=1, ensure_ascii=False) + "\n"


def space_schema(figures: Mapping[str, type[BaseModel]], named: str = DEFAULT_FAMILY) -> Schema:
    """JSON Schema (draft 2020-12) of the file of a space of a family. Raises UserError for an unknown one."""
    family = find_family(named, Path.cwd())
    model = space_model(family)
    models: list[type[BaseModel]] = [model, family.Config, *figures.values()]
    names, whole = models_json_schema([(model, "validation") for model in models])
    defs: dict[str, Schema] = whole["$defs"]
    ref_of = {model: names[(model, "validation")]["$ref"] for model in models}
    cell = _partial(ref_of[family.Config], defs, family)
    space = defs.pop(_name(ref_of[model]))
    _loosen(defs)
    _fill_axis(defs["AxisConfig"], cell, family)
    _fill_space(space, defs, cell, family, [ref_of[model] for model in figures.values()])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "asyrp-sweep search space",
        **{key: value for key, value in space.items() if key not in ("title", "required")},
        "patternProperties": {f"^{HELPER}": {"description": "For anchors alone; nothing reads it."}},
        # A space that extends another one may leave anything to it.
        "if": {"required": ["extends"]},
        "else": {"required": space["required"]},
        "$defs": {name: defs[name] for name in _used(space, defs)},
    }


def _fill_space(
    space: Schema, defs: dict[str, Schema], cell: Schema, family: Family, figures: list[str]
) -> None:
    """Names and forms that the models leave to checks or to what reads the file."""
    properties = space["properties"]
    properties["baseline"] = {**_kept(properties["baseline"]), **cell}
    family.fill_space_schema(properties, cell)
    properties["family"] |= {"examples": [*family_names(), "./my_model.py"]}
    axis = {"anyOf": [{"$ref": "#/$defs/AxisConfig"}, {"type": "null", "description": "not inherited"}]}
    (pattern,) = properties["axes"]["patternProperties"]
    properties["axes"]["patternProperties"] = {pattern: axis}
    for name in ("AxisConfig", "PrimaryConfig"):  # the rest may be inherited
        defs[name].pop("required", None)
    short = [kind for kind, model in DESIGNS.items() if _needs_only_kind(model)]
    kinds = [{"$ref": f"#/$defs/{_name(option['$ref'])}"} for option in properties["design"]["oneOf"]]
    properties["design"] = {**_kept(properties["design"]), "anyOf": [{"enum": short}, *kinds]}
    properties["seeds"] = {
        **_kept(properties["seeds"]),
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
            {"$ref": "#/$defs/AdaptiveSeeds"},
        ],
    }
    claim = defs["ClaimConfig"]
    claim["additionalProperties"] = False
    claim["properties"] |= {
        one.name: {
            "anyOf": [{"type": "number"}, {"type": "null"}],
            "default": None,
            "description": f"The {one.label} it is about; each trial's own when left out.",
        }
        for one in family.coordinates
        if not one.is_text
    }
    properties["figures"]["items"] = {"anyOf": [{"$ref": ref} for ref in figures]} if figures else {}
    metrics = [*family.metrics, *family.curve_metrics]
    if not metrics:  # Each space declares its own.
        return
    defs["PrimaryConfig"]["properties"]["metric"]["enum"] = metrics
    claim["properties"]["metric"]["anyOf"] = [{"enum": metrics}, {"type": "null"}]


def _fill_axis(axis: Schema, cell: Schema, family: Family) -> None:
    properties = axis["properties"]
    free = [name for name in family.Config.model_fields if family.has_setting(f"{name}.any_name")]
    own = [{"type": "string", "pattern": rf"^({'|'.join(free)})\.\w+$"}] if free else []
    properties["path"]["anyOf"] = [{"enum": list(family.setting_paths())}, *own, {"type": "null"}]
    for form in properties["values"]["anyOf"]:
        if form.get("type") == "object":
            form["additionalProperties"] = cell


def _loosen(schema: Any) -> None:
    """What the file may say although the parsed models hold another form: one value for a list of conditions.

    And `oneOf` becomes `anyOf`: the models tell forms apart in order, a schema would ask that only one fits.
    """
    if isinstance(schema, list):
        for item in schema:
            _loosen(item)
    if not isinstance(schema, dict):
        return
    for item in list(schema.values()):
        _loosen(item)
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
        schema.pop("discriminator", None)
    several = schema.get("additionalProperties")
    if isinstance(several, dict) and several.get("type") == "array" and "anyOf" in several.get("items", {}):
        schema["additionalProperties"] = {"anyOf": [several["items"], several]}


def _partial(ref: str, defs: dict[str, Schema], family: Family) -> Schema:
    """A reference to a copy of what a reference names, in which nothing is required: other layers may say it."""
    name = f"Partial{_name(ref)}"
    if name not in defs:
        whole = defs[_name(ref)]
        defs[name] = {}  # against recursion
        properties = {
            key: _partial_property(key, inside, defs, family)
            for key, inside in whole.get("properties", {}).items()
        }
        kept = {key: value for key, value in whole.items() if key != "required"}
        defs[name] = {**kept, "properties": properties}
    return {"$ref": f"#/$defs/{name}"}


def _partial_property(name: str, schema: Schema, defs: dict[str, Schema], family: Family) -> Schema:
    own = family.setting_schema(name, schema, defs)
    if own is not None:
        return own
    return {**_kept(schema), **_partial(schema["$ref"], defs, family)} if "$ref" in schema else schema


def _needs_only_kind(model: type[BaseModel]) -> bool:
    return all(name == "kind" or not field.is_required() for name, field in model.model_fields.items())


def _kept(schema: Schema) -> Schema:
    """What describes a property, whatever its form."""
    return {key: schema[key] for key in ("title", "description") if key in schema}


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]


def _used(schema: Any, defs: Mapping[str, Schema]) -> list[str]:
    """Names of the definitions that a schema reaches, sorted."""
    found: set[str] = set()
    ahead = [schema]
    while ahead:
        here = ahead.pop()
        if isinstance(here, list):
            ahead += here
        elif isinstance(here, dict):
            ahead += here.values()
            ref = here.get("$ref")
            if isinstance(ref, str) and _name(ref) not in found:
                found.add(_name(ref))
                ahead.append(defs[_name(ref)])
    return sorted(found)
