"""A space's file and those that it extends: read, merged, and each value still known by its file and line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.space.config import ConfigError, Problem
from orchestrator.space.designs import full_form
from search_spaces import shipped_spaces
from trainables.errors import UserError, without_echoes
from trainables.paths import absolute_path, user_path
from trainables.wording import did_you_mean, expected, shown
from trainables.yaml_tree import Loc, YamlTree, dotted, laid_over, read_yaml, read_yaml_file

EXTENDS = "extends"


@dataclass(frozen=True)
class SpaceFile:
    """One file as read."""

    name: str
    """Without its ending; the study's name."""
    shown: str
    """As problems name it."""
    location: Path
    """Where it is, however it was named."""
    folder: Path
    """What its relative paths start from."""
    tree: YamlTree

    def problem(self, place: Loc, message: str) -> Problem:
        """A problem with the value at a place."""
        return Problem(self.shown, self.tree.line_of(place), dotted(place), message)


@dataclass(frozen=True)
class Sources:
    """A space's file and those that it extends, the nearest first, as one content."""

    files: tuple[SpaceFile, ...]
    content: dict[str, Any]
    problems: tuple[Problem, ...]
    """What is wrong with the files as YAML, although they could be read."""

    @property
    def file(self) -> SpaceFile:
        """The space's own file."""
        return self.files[0]

    def problem(self, place: Loc, message: str) -> Problem:
        """A problem with the value at a place, in the file that says most of the way to it."""
        return max(self.files, key=lambda file: file.tree.depth_of(place)).problem(place, message)


def sources_of(name: str, text: str, folder: Path) -> Sources:
    """A space's text as if it were the file `<name>.yaml` of a folder, with all that it extends."""
    file = SpaceFile(name, f"{name}.yaml", folder / f"{name}.yaml", folder, read_yaml(text))
    return _all_sources([file])


def read_sources(space: str | Path) -> Sources:
    """Read a shipped space or a file, and all that it extends.

    Raises ConfigError where a file cannot be read, is no mapping, or extends itself.
    """
    return _all_sources([_open(space)])


def _all_sources(files: list[SpaceFile]) -> Sources:
    while (obstacle := _obstacle(files)) is None and EXTENDS in files[-1].tree.content:
        files.append(_extended_by(files[-1]))
    problems = [Problem(file.shown, *found) for file in files for found in file.tree.problems]
    if obstacle is not None:
        raise ConfigError([*problems, *without_echoes([obstacle], problems)])
    return Sources(tuple(files), _merged(files), tuple(problems))


def _open(space: str | Path) -> SpaceFile:
    """The file of a shipped name or a path. Raises ConfigError when there is none to read."""
    shipped = shipped_spaces()
    try:
        path = user_path(space)
        if str(space) in shipped:
            file = Path(str(shipped[str(space)]))
            named = f"search_spaces/{space}.yaml"
            return SpaceFile(str(space), named, file.resolve(), Path.cwd(), read_yaml_file(file))
        tree = read_yaml_file(path)
        return SpaceFile(path.stem, str(space), path.resolve(), path.absolute().parent, tree)
    except IsADirectoryError:
        message = "a folder; expected the YAML of a space, or a shipped space (all: asyrp-sweep list spaces)"
    except FileNotFoundError:
        near = did_you_mean(str(space), shipped)
        message = f"neither a shipped space nor a file{near} (all: asyrp-sweep list spaces)"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except UserError as error:
        message = str(error)
    raise ConfigError([Problem(str(space), 0, "", message)])


def _obstacle(files: Sequence[SpaceFile]) -> Problem | None:
    """What keeps the last file from being merged, or what it extends from being read; None where nothing does."""
    *earlier, last = files
    content = last.tree.content
    if not isinstance(content, dict):
        if last.tree.problems:
            return Problem(last.shown, *last.tree.problems[0])
        return Problem(last.shown, 1, "", f"expected a mapping; found {shown(content)}")
    places = [file.location for file in files]
    if last.location in places[:-1]:
        before = earlier[-1]
        loop = " -> ".join(file.shown for file in files[places.index(last.location) :])
        return before.problem((EXTENDS,), f"comes back to itself: {loop}")
    named = content.get(EXTENDS, "")
    if not isinstance(named, str):
        return last.problem((EXTENDS,), expected("a shipped space or the path of a file", named))
    return None


def _extended_by(file: SpaceFile) -> SpaceFile:
    """The file that another one extends. Raises ConfigError, at the line that names it, where it cannot be read."""
    named = str(file.tree.content[EXTENDS])
    try:
        # Its path is shown as short as that of the file that names it.
        shipped = named in shipped_spaces()
        return _open(named if shipped else user_path(named, user_path(file.shown).parent))
    except ConfigError as error:
        message = f"{shown(named)} is {error.problems[0].message}"
        raise ConfigError([file.problem((EXTENDS,), message)]) from error
    except UserError as error:
        raise ConfigError([file.problem((EXTENDS,), str(error))]) from error


def _merged(files: Sequence[SpaceFile]) -> dict[str, Any]:
    """One content, each file over those that it extends."""
    *nearer, last = files
    content = _with_full_design(last.tree.content if not nearer else _with_absolute_paths(last))
    for file in reversed(nearer):
        own = file.tree.content if file is files[0] else _with_absolute_paths(file)
        content = _without_dropped_axes(laid_over(content, _with_full_design(own)), content)
    return content


def _with_full_design(content: Mapping[str, Any]) -> dict[str, Any]:
    """With the design as a mapping: what is wrong with its kind is then found at its kind."""
    return {key: full_form(value) if key == "design" else value for key, value in content.items()}


def _with_absolute_paths(file: SpaceFile) -> dict[str, Any]:
    """A file's content with the paths in its baseline, and of its family, as seen from anywhere."""

    def absolute(value: Any, *endings: str) -> Any:
        is_path = isinstance(value, str) and value.endswith(endings)
        return absolute_path(value, file.folder) if is_path else value

    content = dict(file.tree.content)
    if isinstance(baseline := content.get("baseline"), dict):
        content["baseline"] = {key: absolute(value, ".yaml", ".yml") for key, value in baseline.items()}
    if "family" in content:
        content["family"] = absolute(content["family"], ".py")
    return content


def _without_dropped_axes(merged: dict[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Without the axes that the nearer file sets to nothing (`heads: null`): those it does not want to inherit."""
    axes, inherited = merged.get("axes"), below.get("axes")
    if not isinstance(axes, dict) or not isinstance(inherited, dict):
        return merged
    kept = {name: axis for name, axis in axes.items() if axis is not None or name not in inherited}
    return {**merged, "axes": kept}
