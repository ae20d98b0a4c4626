"""Cells that start from the weights of another cell's editor: their parents, chains and controls.

A parent is a cell of the plan like any other, trained with the same seeds; where the space does not have it, it
is added. So is each warm cell's control: trained from scratch for as long as parent and child together, because
a head start is only worth something if it beats spending the same compute on the child alone.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from orchestrator.config import AxisConfig, AxisValue, Setting
from orchestrator.resolving import Summarise
from orchestrator.wording import expected, shown
from orchestrator.yaml_tree import Loc
from trainables.attributes import ATTRIBUTES
from trainables.backbones.shapes import BottleneckShape
from trainables.config import CellConfig, InitConfig

if TYPE_CHECKING:
    from orchestrator.plan import Cell

Role = Literal["design", "parent", "control"]
"""Why a cell is in the plan: the space asks for it, another one starts from it, or it is what one is held against."""

FROM: Loc = ("init", "from")


class WarmStart(NamedTuple):
    """Where a cell's first weights come from: another cell of the plan, or an editor file."""

    cell: str | None = None
    epoch: int | None = None
    """After which epoch of that cell's training; None for its last."""
    editor: str | None = None
    """Absolute path of an editor file."""
    digest: str | None = None
    """SHA-256 of its content, which is what it counts by."""
    control: str | None = None
    """The cell that spends the same compute from scratch; None where none was asked for or none can be known."""


@dataclass(frozen=True)
class StartProblem:
    """A warm start that cannot be planned."""

    cell: str
    axis_values: Mapping[str, AxisValue]
    place: Loc
    """In the cell's configuration, such as `("init", "from", "cell")`."""
    message: str


MakeCell = Callable[[str, Mapping[str, AxisValue], Sequence[Setting]], "Cell"]
"""From a name, axis values and settings that win over them to a cell."""


class Makers(NamedTuple):
    """What linking needs of the plan, which imports this module."""

    cell: MakeCell
    key: Callable[[CellConfig], str]
    """Equal for configurations that are the same cell."""
    name: Callable[[Mapping[str, AxisValue]], str]
    """What a point of the space is called."""
    epoch_cost: Callable[[CellConfig], int]
    """Images x timesteps that an epoch visits."""
    summarise: Summarise


def linked(
    cells: Sequence["Cell"], axes: Mapping[str, AxisConfig], makers: Makers
) -> tuple[tuple["Cell", ...], list[StartProblem]]:
    """All cells with their warm starts resolved, parents and controls added; and what is wrong with some."""
    if all(cell.config.init is None for cell in cells):
        return tuple(cells), []
    links = _Links(axes, makers)
    for cell in cells:
        links.add(cell, cell.axis_values)
    for cell in cells:
        links.resolve(cell.name)
    if not links.problems:
        for cell in cells:
            links.add_control(cell.name)
    return tuple(_in_plan_order(links.cells, [cell.name for cell in cells])), links.problems


def _in_plan_order(cells: "Mapping[str, Cell]", of_space: Iterable[str]) -> Iterator["Cell"]:
    """The space's own cells, each with the control that was added for it; then what others start from."""
    own = dict.fromkeys(of_space)
    order: dict[str, None] = {}
    for name in own:
        start, order[name] = cells[name].start, None
        if start is not None and start.control is not None and start.control not in own:
            order[start.control] = None
    yield from (cells[name] for name in dict.fromkeys((*order, *cells)))


def parents_first(cells: Sequence["Cell"]) -> list["Cell"]:
    """The cells in their order, but each after the one it starts from."""
    by_name = {cell.name: cell for cell in cells}
    ordered: dict[str, Cell] = {}

    def add(cell: "Cell") -> None:
        if cell.start is not None and cell.start.cell is not None:
            add(by_name[cell.start.cell])
        ordered.setdefault(cell.name, cell)

    for cell in cells:
        add(cell)
    return list(ordered.values())


@dataclass
class _Links:
    """Cells by name while their parents are looked for."""

    axes: Mapping[str, AxisConfig]
    makers: Makers
    cells: "dict[str, Cell]" = field(default_factory=dict)
    problems: list[StartProblem] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    """Key of a configuration -> its cell's name."""
    _aliases: dict[str, str] = field(default_factory=dict)
    """Every name a cell of the space goes by -> the one it is kept under."""
    _points: dict[str, Mapping[str, AxisValue]] = field(default_factory=dict)
    """Where in the space each cell's settings come from, also where it does not count as standing there."""
    _resolved: set[str] = field(default_factory=set)

    def add(self, cell: "Cell", point: Mapping[str, AxisValue]) -> str:
        """Keep a cell with the settings of a point, or find the one that it is the same as; its name."""
        key = self.makers.key(cell.config)
        if key not in self._names:
            name = cell.name
            while name in self.cells:
                name += "'"
            self.cells[name] = replace(cell, name=name)
            self._points[name] = point
            self._names[key] = name
            self._aliases.update(dict.fromkeys((name, *cell.merged), name))
        return self._names[key]

    def resolve(self, name: str, children: tuple[str, ...] = ()) -> None:
        """Find a cell's parent, and its parent's; `children` are those that brought us here."""
        if name in children:
            loop = " <- ".join([*children[children.index(name) :], name])
            self._problem(self.cells[children[-1]], FROM, f"a warm start that comes back to itself: {loop}")
            return
        if name in self._resolved:
            return
        cell = self.cells[name]
        if cell.config.init is not None:
            try:
                start = self._start(cell, cell.config.init)
                if start.cell is not None:
                    self.resolve(start.cell, (*children, name))
                self.cells[name] = replace(cell, start=start)
            except _Impossible as problem:
                self._problem(cell, problem.place, problem.message)
        self._resolved.add(name)

    def _problem(self, cell: "Cell", place: Loc, message: str) -> None:
        self.problems.append(StartProblem(cell.name, self._points[cell.name], place, message))

    # Parents

    def _start(self, cell: "Cell", init: InitConfig) -> WarmStart:
        source = init.source
        if source.editor is not None:
            return _from_file(cell, Path(source.editor), self.makers.summarise(cell.config.domain).shape)
        if source.attribute is not None:
            parent = self._by_attribute(cell, init)
        elif isinstance(source.cell, str):
            parent = self._by_name(source.cell)
        else:
            parent = self._by_values(cell, source.cell or {})
        _check_fit(cell, self.cells[parent], (*FROM, "attribute" if source.attribute else "cell"))
        last = self.cells[parent].config.training.epochs
        if init.epoch is not None and init.epoch > last:
            raise _Impossible(
                ("init", "epoch"), f"expected at most {last}, the epochs of {parent}; found {init.epoch}"
            )
        return WarmStart(cell=parent, epoch=None if init.epoch == last else init.epoch)

    def _by_attribute(self, cell: "Cell", init: InitConfig) -> str:
        sources = init.source.attribute
        attribute = sources[cell.config.attribute] if isinstance(sources, dict) else sources
        assert attribute is not None
        place: Loc = (*FROM, "attribute", *([cell.config.attribute] if isinstance(sources, dict) else []))
        offered = self.makers.summarise(cell.config.domain).attributes
        if attribute not in offered:
            known = "an attribute" if attribute not in ATTRIBUTES else f"an attribute of {cell.config.domain}"
            raise _Impossible(place, expected(known, attribute, offered))
        settings = [Setting("its warm start", "attribute", attribute)]
        if not isinstance(sources, dict):  # A mapping says itself where a chain ends.
            settings.append(Setting("its warm start", "init", None))
        kept = {axis: value for axis, value in cell.axis_values.items() if not self._sets(axis, "attribute")}
        kept = {axis: value for axis, value in kept.items() if not self._sets(axis, "init")}
        rest = self.makers.name(kept)
        name = f"attribute={attribute}" + ("" if rest == self.makers.name({}) else f",{rest}")
        point = self._points[cell.name]
        parent = self.makers.cell(name, point, settings)
        return self.add(replace(parent, role="parent", axis_values=kept), point)

    def _by_name(self, name: str) -> str:
        if name not in self._aliases:
            raise _Impossible((*FROM, "cell"), expected("a cell of this plan", name, self._aliases))
        return self._aliases[name]

    def _by_values(self, cell: "Cell", values: Mapping[str, AxisValue]) -> str:
        for axis, value in values.items():
            if axis not in self.axes:
                raise _Impossible((*FROM, "cell", axis), f"not an axis of this space: {', '.join(self.axes)}")
            names = self.axes[axis].names
            if value not in names:
                known = [str(name) for name in names]
                raise _Impossible((*FROM, "cell", axis), expected(f"a value of axis {axis}", value, known))
        point = {**self._points[cell.name], **values}
        return self.add(replace(self.makers.cell(self.makers.name(point), point, ()), role="parent"), point)

    def _sets(self, axis: str, block: str) -> bool:
        return any(block in self.axes[axis].override(value) for value in self.axes[axis].names)

    # Controls

    def add_control(self, name: str) -> None:
        """Add the cell that spends on its own what this one and its ancestors spend."""
        cell = self.cells[name]
        if cell.start is None or cell.config.init is None or not cell.config.init.control:
            return
        cost = self._cost(cell)
        if cost is None:
            return
        epochs = max(1, round(cost / self.makers.epoch_cost(cell.config)))
        settings = [
            Setting("its control", "init", None),
            Setting("its control", "training.epochs", epochs),
        ]
        axis, values = start_axis(self.axes), cell.axis_values
        control_name = f"{name},start=scratch_matched"
        role: Role = "control"
        if axis is not None and axis in values:
            values = {**values, axis: control_value(values[axis])}
            control_name, role = self.makers.name(values), "design"
        made = self.makers.cell(control_name, cell.axis_values, settings)
        control = self.add(replace(made, role=role, axis_values=values, is_baseline=False), cell.axis_values)
        self.cells[name] = replace(cell, start=cell.start._replace(control=control))

    def _cost(self, cell: "Cell", epochs: int | None = None) -> int | None:
        """Images x timesteps of a cell's training, or its first epochs, and of all that it starts from."""
        own = (epochs or cell.config.training.epochs) * self.makers.epoch_cost(cell.config)
        if cell.start is None:
            return own
        if cell.start.cell is None:
            return None  # Nobody knows what went into a file.
        before = self._cost(self.cells[cell.start.cell], cell.start.epoch)
        return None if before is None else own + before


class _Impossible(Exception):
    """A start that cannot be: the place in the configuration and what is wrong there."""

    def __init__(self, place: Loc, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def _check_fit(cell: "Cell", parent: "Cell", place: Loc) -> None:
    """Weights fit only an editor of the same settings."""
    own, theirs = cell.config.editor, parent.config.editor
    if own != theirs:
        raise _Impossible(place, f"{parent.name} has another editor: {_difference(own, theirs)}")


def _difference(own: Any, theirs: Any) -> str:
    if own.kind != theirs.kind:
        return f"{theirs.kind}, and this cell's is {own.kind}"
    name = next(name for name in type(own).model_fields if getattr(own, name) != getattr(theirs, name))
    return f"its {name} is {shown(getattr(theirs, name))}, this cell's {shown(getattr(own, name))}"


def _from_file(cell: "Cell", path: Path, shape: BottleneckShape) -> WarmStart:
    from trainables.editor_file import EditorFileError, load_editor  # torch; planning seldom needs it

    place: Loc = (*FROM, "editor")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        loaded = load_editor(path)
    except OSError as error:
        raise _Impossible(place, f"{path} cannot be read: {error.strerror}") from error
    except EditorFileError as error:
        raise _Impossible(place, str(error)) from error
    if loaded.settings.canonical() != cell.config.editor:
        difference = _difference(cell.config.editor, loaded.settings.canonical())
        raise _Impossible(place, f"{path} holds another editor: {difference}")
    if loaded.metadata.shape != shape:
        made_for = f"{tuple(loaded.metadata.shape)}, and {cell.config.domain} has {tuple(shape)}"
        raise _Impossible(place, f"{path} is for a bottleneck of {made_for} (channels, height, width, temb)")
    return WarmStart(editor=str(path), digest=digest)


# Controls as values of the axis that decides how cells start


def start_axis(axes: Mapping[str, AxisConfig]) -> str | None:
    """The axis whose values say how a cell starts; of several, the one that can also say: from scratch."""
    setting = [name for name, axis in axes.items() if _inits(axis)]
    deciding = [name for name in setting if None in _inits(axes[name])]
    return next(iter([*deciding, *setting]), None)


def _inits(axis: AxisConfig) -> list[Any]:
    overrides = [axis.override(value) for value in axis.names]
    return [override["init"] for override in overrides if "init" in override]


def control_value(value: AxisValue) -> str:
    """The value that a warm start's control has on the axis of starts."""
    return f"scratch_matched_to_{value}"


def control_values(axis: AxisConfig) -> list[str]:
    """The values that controls may add to an axis."""
    return [control_value(value) for value in axis.names] if _inits(axis) else []


def axes_with_controls(axes: Mapping[str, AxisConfig], cells: Iterable["Cell"]) -> dict[str, list[AxisValue]]:
    """Axis -> its values, those of controls in the plan after the space's own."""
    found: dict[str, list[AxisValue]] = {name: list(axis.names) for name, axis in axes.items()}
    for cell in cells:
        for name, value in cell.axis_values.items():
            if cell.role == "design" and value not in found[name]:
                found[name].append(value)
    return found


# What plan prints


def chain_lines(cells: Sequence["Cell"]) -> Iterator[str]:
    """One line per warm cell: the chain it ends, and its control."""
    by_name = {cell.name: cell for cell in cells}
    for cell in cells:
        if cell.start is not None:
            control = by_name.get(cell.start.control or "")
            against = "" if control is None else f"; equal compute from scratch: {_with_epochs(control)}"
            yield f"{' -> '.join(_chain(cell, by_name))}{against}"


def _chain(cell: "Cell", by_name: "Mapping[str, Cell]", epoch: int | None = None) -> list[str]:
    """The cells from the first ancestor to this one."""
    before: list[str] = []
    if cell.start is not None and cell.start.cell is not None:
        before = _chain(by_name[cell.start.cell], by_name, cell.start.epoch)
    elif cell.start is not None:
        before = [f"{cell.start.editor} ({(cell.start.digest or '')[:8]})"]
    return [*before, _with_epochs(cell, epoch)]


def _with_epochs(cell: "Cell", epoch: int | None = None) -> str:
    epochs = cell.config.training.epochs
    count = (
        f"epoch {epoch} of {epochs}" if epoch is not None else f"{epochs} epoch{'' if epochs == 1 else 's'}"
    )
    return f"{cell.name} ({count})"
