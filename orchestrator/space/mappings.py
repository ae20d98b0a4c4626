"""Nested mappings of settings: built from dotted paths, and merged layer over layer."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainables.yaml_tree import Loc


def place_of(path: str) -> Loc:
    """`a.b` -> ("a", "b")."""
    return tuple(path.split("."))


def nested(path: str, value: object) -> dict[str, Any]:
    """`a.b` and 1 -> {"a": {"b": 1}}."""
    result: Any = value
    for part in reversed(place_of(path)):
        result = {part: result}
    return dict(result)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of mappings; later ones win, and anything but a mapping is replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if isinstance(value, Mapping):
                merged[key] = merge(below, value) if isinstance(below, Mapping) else merge(value)
            else:
                merged[key] = value
    return merged


def leaves(settings: Mapping[str, Any], above: Loc = ()) -> Iterator[tuple[Loc, Any]]:
    """Place and value of every setting that is not a mapping itself."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value
