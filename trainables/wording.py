"""Problems in the user's words: `expected X; found Y; did you mean Z?`."""

import re
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trainables.yaml_tree import Loc, write_yaml

_NAMES_LISTED = 20
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
MAX_SHOWN = 100
"""Characters of what was found that a message repeats."""

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true/false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "union_tag_invalid": "{expected_tags}",
    "string_pattern_mismatch": "a name of letters, digits and underscores",
}


def expected(what: str, found: object, names: Iterable[str] = ()) -> str:
    """`expected X; found Y`, with the nearest of the valid names."""
    return f"expected {what}; found {shown(found)}{did_you_mean(found, names)}"


def did_you_mean(found: object, names: Iterable[str]) -> str:
    """`; did you mean Z?`, or nothing where no name is near."""
    is_short = isinstance(found, str) and len(found) <= MAX_SHOWN
    near = get_close_matches(str(found), list(names), n=1) if is_short else []
    return f"; did you mean {shown_name(near[0])}?" if near else ""


def one_of(names: Iterable[object]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = map(shown_name, names)
    return f"{', '.join(most)} or {last}" if most else last


def shown(value: object) -> str:
    """A value as the user wrote it, kept short."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else shortened(repr(value), MAX_SHOWN)


def shown_name(value: object) -> str:
    """A name without quotes and kept short, anything else as `shown`."""
    return shortened(value, MAX_SHOWN) if isinstance(value, str) else shown(value)


def flow(content: Mapping[str, object]) -> str:
    """A mapping as one line of YAML, shortened where it is long."""
    return shortened(write_yaml(content, is_flow=True, width=10**6).strip()[1:-1], 300)


def shortened(text: str, most: int) -> str:
    """A text, or its start with what is left out counted."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def validation_problems(
    error: ValidationError, model: type[BaseModel], content: object
) -> list[tuple[Loc, str]]:
    """(place, message) of everything pydantic found wrong with `content`, in the order found.

    A place has no union tags in it; several complaints about one value become one. Where a value may be a mapping and
    is a wrong one, what is wrong inside it counts, not that it is none of the other things it may be.
    """
    by_place: dict[Loc, list[ErrorDetails]] = {}
    for details in error.errors():
        by_place.setdefault(_place(details, content), []).append(details)
    around = {place[:depth] for place in by_place for depth in range(len(place))}
    return [
        (place, _message(place, found, model, content))
        for place, found in by_place.items()
        if place not in around
    ]


def fields_at(model: type[BaseModel], place: Loc, content: object) -> list[str]:
    """Names of the settings that may stand in the mapping at a place."""
    return sorted(
        {
            field.alias or name
            for found in _models_at(model, place, content)
            for name, field in found.model_fields.items()
        }
    )


def look_up(content: object, place: Loc) -> Any:
    """The value at a place, or None where there is none."""
    for part in place:
        if isinstance(content, Mapping):
            content = content.get(part)
        elif isinstance(content, list | tuple) and isinstance(part, int) and _is_index_of(part, content):
            content = content[part]
        else:
            return None
    return content


def _is_index_of(part: str | int, content: object) -> bool:
    return isinstance(content, list | tuple) and isinstance(part, int) and part < len(content)


def _place(details: ErrorDetails, content: object) -> Loc:
    """Where an error stands in the content: pydantic's location without the tags of its unions."""
    place: list[str | int] = []
    here, loc = content, details["loc"]
    for depth, part in enumerate(loc):
        is_there = (isinstance(here, Mapping) and part in here) or _is_index_of(part, here)
        is_missing_one = details["type"] == "missing" and depth == len(loc) - 1
        if is_there or is_missing_one:
            place.append(part)
            here = look_up(here, (part,))
    if details["type"].startswith("union_tag"):
        place.append("kind")
    return tuple(place)


def _message(place: Loc, found: list[ErrorDetails], model: type[BaseModel], content: object) -> str:
    first = found[0]
    kind, value = first["type"], look_up(content, place)
    if kind == "extra_forbidden":
        return _unknown_setting(place, model, content)
    if kind in ("missing", "union_tag_not_found"):
        return "required, but missing"
    if kind == "too_short":
        return "expected at least {min_length}; found {actual_length}".format(**first["ctx"])
    if kind == "value_error":
        return str(first["ctx"]["error"])
    if any(details["type"] not in _EXPECTED for details in found):
        return f"{first['msg'][0].lower()}{first['msg'][1:]}; found {shown(value)}"
    wanted = dict.fromkeys(_EXPECTED[d["type"]].format(**d.get("ctx", {})) for d in found)
    if _EXPECTED["float_type"] in wanted:  # A union of numbers takes any number.
        wanted.pop(_EXPECTED["int_type"], None)
    if kind in ("literal_error", "union_tag_invalid"):
        names = re.findall(r"'([^']*)'", next(iter(wanted)))
        return expected(one_of(names) if names else next(iter(wanted)), value, names)
    if kind == "string_pattern_mismatch":
        value = place[-1]
    return expected(one_of(wanted), value) + _as_number(wanted, value)


def _as_number(wanted: Iterable[str], value: object) -> str:
    """How a text that looks like a number is written as one, where a number is wanted."""
    digits = value.replace("_", "") if isinstance(value, str) else ""
    is_wanted = any("number" in what for what in wanted) and len(digits) < MAX_SHOWN
    return f"; write {digits} without quotes" if is_wanted and _NUMBER.fullmatch(digits) else ""


def _unknown_setting(place: Loc, model: type[BaseModel], content: object) -> str:
    *around, name = place
    block = look_up(content, tuple(around))
    of_kind = block.get("kind") if isinstance(block, Mapping) else None
    owner = f" for {of_kind}" if isinstance(of_kind, str) and around == ["editor"] else ""
    names = fields_at(model, tuple(around), content)
    near = did_you_mean(name, names)
    if not near and 0 < len(names) <= _NAMES_LISTED:
        near = f"; known here: {', '.join(names)}"
    return f"unknown setting{owner}{near}"


def _models_at(model: type[BaseModel], place: Loc, content: object) -> list[type[BaseModel]]:
    """The models that may describe the mapping at a place; keys of dicts and indices are stepped over."""
    models = [model]
    for depth, part in enumerate(place):
        annotations = [
            field.annotation
            for found in models
            for name, field in found.model_fields.items()
            if part == (field.alias or name)
        ]
        if annotations:
            models = [found for annotation in annotations for found in _models_in(annotation)]
            models = _of_kind(models, look_up(content, (*place[: depth + 1], "kind")))
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    is_generic = get_origin(annotation) is not None or isinstance(annotation, types.UnionType)
    return [found for part in get_args(annotation) for found in _models_in(part)] if is_generic else []


def _of_kind(models: list[type[BaseModel]], kind: object) -> list[type[BaseModel]]:
    """The member that is meant of a union on `kind`; all of them where that is open."""
    if len(models) < 2:
        return models
    meant = [found for found in models if kind in get_args(found.model_fields["kind"].annotation)]
    return meant or models


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
