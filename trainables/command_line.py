"""What a family adds to the command line: commands, lists, checks of `doctor`.

A family of this package has a module `command_line` with a `COMMAND_LINE`, an installed package names its own in the
entry points `asyrp_sweep.command_lines` (`family = module:COMMAND_LINE`), and a family's file may have one beside its
FAMILY: `asyrp-sweep ./my_model.py show --width 3`. It is read at every start, so it imports nothing slow: what runs is
named as `module:function` and imported once it is asked for.
"""

import argparse
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trainables
from trainables.errors import UserError
from trainables.paths import user_path
from trainables.sources import FAMILY_MODULE, module_of_source, read_source

ENTRY_POINTS = "asyrp_sweep.command_lines"
DECLARATION = "COMMAND_LINE"

Function = str | Callable[..., Any]
"""A function, or where it is: `module:function`."""


@dataclass(frozen=True)
class Command:
    """One command of `asyrp-sweep`."""

    name: str
    help: str
    """A line for `--help`."""
    run: Function
    """Called with the parsed options, a `rich.console.Console` and the command line as text; returns the exit code."""
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    number_lists: tuple[str, ...] = ()
    """Options whose values may begin with a minus sign: argparse would take `-1,1` for an option of its own."""


@dataclass(frozen=True)
class Listing:
    """One list of `asyrp-sweep list`."""

    headers: tuple[str, ...]
    rows: Function
    """Called without arguments; gives a tuple of texts for each row, the name first."""


@dataclass(frozen=True)
class Tuning:
    """What `tune` takes instead of a search space."""

    what: str
    """In `--help`, such as ATTRIBUTE."""
    help: str
    read: Function
    """Called with the options; gives an `orchestrator.search.loading.Wish`. Raises UserError."""
    add_options: Callable[[Any], None] = lambda group: None
    """Of a group of options that is shown under the family's name."""


@dataclass(frozen=True)
class Strip:
    """Pictures of what a trained model makes of held-out items: a study's page offers them for every trial."""

    label: str
    """On a button, such as `edit two held-out images`."""
    words: Callable[[Path, Path], Sequence[str]]
    """From the model's file and an empty folder to the words of a command, without `asyrp-sweep`, that leaves PNGs in
    that folder. It runs beside trials, so on a CPU, and may write nowhere else."""


@dataclass(frozen=True)
class Doctor:
    """Options that a family adds to `doctor`, and what they ask for."""

    add_options: Callable[[argparse.ArgumentParser], None]
    look: Function
    """Called with the parsed options; gives `orchestrator.cli.disk_probe.Finding`s. Raises UserError."""


@dataclass(frozen=True)
class CommandLine:
    """All that a family adds."""

    commands: tuple[Command, ...] = ()
    lists: Mapping[str, Listing] = field(default_factory=lambda: MappingProxyType({}))
    tune: Tuning | None = None
    checks: tuple[Function, ...] = ()
    """What `doctor` looks at as well: each gives `orchestrator.cli.disk_probe.Finding`s."""
    strip: Strip | None = None
    doctor: Doctor | None = None
    """What `doctor` looks at where an option of the family's own asks for it."""


def resolved(function: Function) -> Callable[..., Any]:
    """The function itself."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def command_lines(complain: Callable[[str], None] = lambda line: None) -> dict[str, CommandLine]:
    """Family -> what it adds; one that cannot be imported is told to `complain` and left out."""
    own = {
        info.name: f"trainables.{info.name}.command_line:{DECLARATION}"
        for info in pkgutil.iter_modules(trainables.__path__)
        if info.ispkg and importlib.util.find_spec(f"trainables.{info.name}.command_line") is not None
    }
    found = {}
    for family, where in (
        own | {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    ).items():
        try:
            line: Any = resolved(where)
            if not isinstance(line, CommandLine):
                raise UserError(f"{where} is {type(line).__name__}; expected a CommandLine")
            found[family] = line
        except Exception as error:
            complain(f"the commands of family {family} cannot be used: {type(error).__name__}: {error}")
    return found


def command_line_of(file: str) -> CommandLine:
    """What the Python file of a family adds. Raises UserError where it has nothing to add."""
    name, source = read_source(file, Path.cwd())
    found = getattr(module_of_source(FAMILY_MODULE, name, source), DECLARATION, None)
    if not isinstance(found, CommandLine) or not found.commands:
        raise UserError(
            f"{file} has no commands; a family's file may declare them as {DECLARATION} = CommandLine(commands=(...))"
        )
    return found


# Options that several commands have


def path(text: str) -> Path:
    """A path, its `~` and variables expanded."""
    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def place(text: str) -> Path | str:
    """A path, or the URL of a place in an object store as it is."""
    return text if "://" in text else path(text)


def positive(text: str) -> int:
    """A whole number from 1 to 64 bits."""
    found = text.strip().lstrip("+")
    if not (found.isascii() and found.isdigit() and len(found) < 19 and int(found) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1; found {text!r}")
    return int(found)


def add_results(command: argparse.ArgumentParser) -> None:
    """`--results`: where studies are."""
    command.add_argument(
        "--results",
        type=place,
        default=Path("results"),
        metavar="DIR",
        help="results folder, or s3://, gs://, abfs:// (default: results)",
    )


def add_plugin(command: argparse.ArgumentParser) -> None:
    """`--plugin`: the command finds what the file declares."""
    command.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="use a plugin's file; may be repeated"
    )


def joined(arguments: Iterable[str], number_lists: Iterable[str]) -> list[str]:
    """The arguments with such a list joined to its option."""
    lists, found = set(number_lists), list[str]()
    for argument in arguments:
        if found and found[-1] in lists:
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found
