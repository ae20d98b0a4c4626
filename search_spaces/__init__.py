"""The search spaces that ship with asyrp-sweep, one YAML file each."""

from importlib.resources import files
from importlib.resources.abc import Traversable


def shipped_spaces() -> dict[str, Traversable]:
    """Name -> file of every shipped space, in alphabetical order."""
    found = {file.name.removesuffix(".yaml"): file for file in files(__name__).iterdir()}
    return {name: file for name, file in sorted(found.items()) if file.name == f"{name}.yaml"}
