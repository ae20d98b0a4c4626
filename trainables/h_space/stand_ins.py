"""Published attributes under the names that a domain has for them.

A space names the attributes of the study it repeats. Not every domain can be edited towards all of them, so a domain
may say what stands in for one (`stand_ins: {pixar: robot}`), and the whole space is read with the stand-in:
baseline, axis values, designs, claims and warm starts alike. What was trained is what tables and figures name.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

ATTRIBUTE = "attribute"


def stand_in(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A space's content, as read from its file, with every attribute that has a stand-in replaced by it."""
    if not names:
        return dict(content)
    axes = _attribute_axes(content)
    return {key: _renamed(value, {ATTRIBUTE, *axes}, names) for key, value in content.items()}


def stand_in_settings(settings: Sequence[Any], names: Mapping[str, str]) -> tuple[Any, ...]:
    """Command-line settings with the same replacement."""
    return tuple(
        replace(setting, value=_name(setting.value, names)) if setting.path == ATTRIBUTE else setting
        for setting in settings
    )


def _attribute_axes(content: Mapping[str, Any]) -> list[str]:
    """Names of the axes whose values are attributes."""
    axes = content.get("axes")
    if not isinstance(axes, Mapping):
        return []
    return [
        str(name)
        for name, axis in axes.items()
        if isinstance(axis, Mapping) and axis.get("path") == ATTRIBUTE
    ]


def _renamed(value: Any, keys: Set[str], names: Mapping[str, str]) -> Any:
    """The content with the attributes replaced that stand under one of these keys, in such an axis or its claims."""
    if isinstance(value, list):
        return [_renamed(item, keys, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("path") == ATTRIBUTE:
        keys = {*keys, "values"}
    elif value.get("axis") in keys:
        keys = {*keys, "better", "worse"}
    return {key: _renamed_entry(key, item, keys, names) for key, item in value.items()}


def _renamed_entry(key: str, item: Any, keys: Set[str], names: Mapping[str, str]) -> Any:
    if key in keys and not isinstance(item, Mapping):
        return _name(item, names)
    if key == "from" and isinstance(item, Mapping) and isinstance(item.get(ATTRIBUTE), Mapping):
        # A warm start's attributes, each with the one that it starts from.
        pairs = {_name(own, names): _name(source, names) for own, source in item[ATTRIBUTE].items()}
        return {**item, ATTRIBUTE: pairs}
    return _renamed(item, keys, names)


def _name(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_name(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
