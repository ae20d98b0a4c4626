"""The JSON Schema of a cell's editor, for what completes and checks YAML."""

from collections.abc import Mapping
from typing import Any

from trainables.h_space.editors import EDITORS


def any_editor(defs: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of every kind together: those of another kind than the cell's are left out of it."""
    properties: dict[str, list[dict[str, Any]]] = {}
    for kind in EDITORS:
        for name, inside in defs[_editor_name(defs, kind)]["properties"].items():
            forms = properties.setdefault(name, [])
            if inside not in forms:
                forms.append(inside)
    merged = {name: forms[0] if len(forms) == 1 else {"anyOf": forms} for name, forms in properties.items()}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {**merged, "kind": {"enum": list(EDITORS)}},
    }


def _editor_name(defs: Mapping[str, Any], kind: str) -> str:
    """Which definition is the editor's of a kind: all their classes are called Config."""
    module = EDITORS[kind].__module__.replace(".", "__")
    return next(name for name in defs if name == f"{module}__Config" or name.endswith(f"{module}__Config"))
