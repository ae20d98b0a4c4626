"""Metrics under the names that they had before they were called by what they measure: spaces of then are still read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

RENAMED = MappingProxyType(
    {
        "fid": "frechet_distance",
        "fid_from_reconstruction": "frechet_distance_from_reconstruction",
        "kid": "kernel_distance",
        "kid_from_reconstruction": "kernel_distance_from_reconstruction",
        "identity_kept": "clip_similarity_kept",
    }
)
"""Old name -> new name. FID and KID are distances of Inception's features, which few domains have."""
_KEYS = frozenset(("metric", "metrics", "objectives", "x", "y"))
"""Keys of a space under which metrics are named."""


def with_new_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """A space's content with every metric by its new name."""
    return {key: _renamed(key, value) for key, value in content.items()}


def setting_with_new_names(settings: Sequence[Any]) -> tuple[Any, ...]:
    """The same of command-line settings."""
    return tuple(replace(one, value=_renamed(one.path.rpartition(".")[2], one.value)) for one in settings)


def _renamed(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return with_new_names(value)
    if isinstance(value, list | tuple):
        return type(value)(_renamed(key, item) for item in value)
    return RENAMED.get(value, value) if key in _KEYS and isinstance(value, str) else value
