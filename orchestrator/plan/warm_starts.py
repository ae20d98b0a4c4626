"""Cells that start from the weights of another cell: their parents, chains and controls.

A parent is a cell of the plan like any other, trained with the same seeds; where the space does not have it, it
is added. So is each warm cell's control: trained from scratch for as long as parent and child together, because
a head start is only worth something if it beats spending the same compute on the child alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.plan.cells import Cell, WarmStart, cell_at
from orchestrator.space.axes import AxisConfig, AxisValue, AxisValues, axis_text
from orchestrator.space.config import Setting, Space
from orchestrator.space.points import Point, point_name
from trainables.errors import UserError
from trainables.exchange import ImpossibleStart, Role, Start
from trainables.family import Family
from trainables.paths import user_path
from trainables.wording import expected
from trainables.yaml_tree import Loc


@dataclass(frozen=True)
class StartProblem:
    """A warm start that cannot be planned."""

    cell: str
    axis_values: AxisValues
    place: Loc
    """In the cell's configuration, such as `("init", "from", "cell")`."""
    message: str


def linked(
    space: Space, cells: Sequence[Cell], baseline: AxisValues
) -> tuple[tuple[Cell, ...], list[StartProblem]]:
    """All cells with their warm starts resolved, parents and controls added; and what is wrong with some."""
    if all(space.family.start(cell.config) is None for cell in cells):
        return tuple(cells), []
    links = _Links(space, baseline)
    for cell in cells:
        links.add(cell, cell.axis_values)
    for cell in cells:
        links.resolve(cell.name)
    if not links.problems:
        for cell in cells:
            links.add_control(cell.name)
    return tuple(_in_plan_order(links.cells, [cell.name for cell in cells])), links.problems


def _in_plan_order(cells: Mapping[str, Cell], of_space: Iterable[str]) -> Iterator[Cell]:
    """The space's own cells, each with the control that was added for it; then what others start from."""
    own = dict.fromkeys(of_space)
    order: dict[str, None] = {}
    for name in own:
        start, order[name] = cells[name].start, None
        if start is not None and start.control is not None and start.control not in own:
            order[start.control] = None
    yield from (cells[name] for name in dict.fromkeys((*order, *cells)))


@dataclass
class _Links:
    """Cells by name while their parents are looked for."""

    space: Space
    baseline: AxisValues
    cells: dict[str, Cell] = field(default_factory=dict)
    problems: list[StartProblem] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    """Key of a configuration -> its cell's name."""
    _aliases: dict[str, str] = field(default_factory=dict)
    """Every name a cell of the space goes by -> the one it is kept under."""
    _points: dict[str, AxisValues] = field(default_factory=dict)
    """Where in the space each cell's settings come from, also where it does not count as standing there."""
    _resolved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.axes, self.family = self.space.config.axes, self.space.family

    def add(self, cell: Cell, point: AxisValues) -> str:
        """Keep a cell with the settings of a point, or find the one that it is the same as; its name."""
        key = cell.key
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
            message = f"a warm start that comes back to itself: {loop}"
            self._problem(self.cells[children[-1]], self.family.init_place, message)
            return
        if name in self._resolved:
            return
        cell = self.cells[name]
        asked = self.family.start(cell.config)
        if asked is not None:
            try:
                start = self._start(cell, asked)
                if start.cell is not None:
                    self.resolve(start.cell, (*children, name))
                self.cells[name] = replace(cell, start=start)
            except ImpossibleStart as problem:
                self._problem(cell, problem.place, problem.message)
        self._resolved.add(name)

    def _problem(self, cell: Cell, place: Loc, message: str) -> None:
        self.problems.append(StartProblem(cell.name, self._points[cell.name], place, message))

    def _made(self, name: str, point: AxisValues, settings: Sequence[Setting] = ()) -> Cell:
        """The cell at a point with settings that win over it."""
        space = replace(self.space, settings=(*self.space.settings, *settings))
        return cell_at(space, Point(name, dict(point)))

    def _called(self, values: AxisValues) -> str:
        return point_name(values, self.baseline)

    # Parents

    def _start(self, cell: Cell, asked: Start) -> WarmStart:
        family = self.family
        family.check_start(asked, cell.config)
        if asked.file is not None:
            return self._from_file(cell, asked)
        if asked.changes:
            parent = self._by_changes(cell, asked)
        elif isinstance(asked.cell, str):
            parent = self._by_name(asked.cell, asked.place)
        else:
            parent = self._by_values(cell, asked.cell or {}, asked.place)
        if unlike := family.unlike(cell.config, self.cells[parent].config):
            raise ImpossibleStart(asked.place, f"{parent} has {unlike}")
        last = family.num_epochs(self.cells[parent].config)
        if asked.epoch is not None and asked.epoch > last:
            raise ImpossibleStart(
                (*family.init_place[:-1], "epoch"),
                f"expected at most {last}, the epochs of {parent}; found {asked.epoch}",
            )
        return WarmStart(cell=parent, epoch=None if asked.epoch == last else asked.epoch)

    def _from_file(self, cell: Cell, asked: Start) -> WarmStart:
        """A start from a file, which counts by its content."""
        try:
            path = user_path(str(asked.file))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.family.check_file(path, cell.config)
        except OSError as error:
            raise ImpossibleStart(asked.place, f"{asked.file} cannot be read: {error.strerror}") from error
        except UserError as error:
            raise ImpossibleStart(asked.place, str(error)) from error
        return WarmStart(file=str(path), digest=digest)

    def _by_changes(self, cell: Cell, asked: Start) -> str:
        settings = [Setting("its warm start", path, value) for path, value in asked.changes.items()]
        changed = {path.partition(".")[0] for path in asked.changes} | {self.family.init_place[0]}
        kept = {
            axis: value
            for axis, value in cell.axis_values.items()
            if not any(self._sets(axis, str(block)) for block in changed)
        }
        rest = self._called(kept)
        name = ",".join(
            f"{path}={axis_text(value)}" for path, value in asked.changes.items() if value is not None
        )
        name += "" if rest == self._called({}) else f",{rest}"
        point = self._points[cell.name]
        parent = self._made(name, point, settings)
        return self.add(replace(parent, role="parent", axis_values=kept), point)

    def _by_name(self, name: str, place: Loc) -> str:
        if name not in self._aliases:
            raise ImpossibleStart(place, expected("a cell of this plan", name, self._aliases))
        return self._aliases[name]

    def _by_values(self, cell: Cell, values: AxisValues, place: Loc) -> str:
        for axis, value in values.items():
            if axis not in self.axes:
                raise ImpossibleStart((*place, axis), f"not an axis of this space: {', '.join(self.axes)}")
            names = self.axes[axis].names
            if value not in names:
                known = [str(name) for name in names]
                raise ImpossibleStart((*place, axis), expected(f"a value of axis {axis}", value, known))
        point = {**self._points[cell.name], **values}
        return self.add(replace(self._made(self._called(point), point), role="parent"), point)

    def _sets(self, axis: str, block: str) -> bool:
        return any(block in self.axes[axis].override(value) for value in self.axes[axis].names)

    # Controls

    def add_control(self, name: str) -> None:
        """Add the cell that spends on its own what this one and its ancestors spend."""
        cell, family = self.cells[name], self.family
        asked = family.start(cell.config)
        if cell.start is None or asked is None or not asked.control:
            return
        spent = lineage(cell, self.cells)
        if spent[0][0].start is not None:
            return  # Nobody knows what went into a file.
        cost = sum(
            (epoch or family.num_epochs(one.config)) * family.epoch_work(one.config) for one, epoch in spent
        )
        epochs = max(1, round(cost / family.epoch_work(cell.config)))
        settings = [
            Setting("its control", str(family.init_place[0]), None),
            Setting("its control", family.epochs_path, epochs),
        ]
        axis, values = start_axis(self.axes), cell.axis_values
        control_name = f"{name},start=scratch_matched"
        role: Role = "control"
        if axis is not None and axis in values:
            values = {**values, axis: control_value(values[axis])}
            control_name, role = self._called(values), "design"
        made = self._made(control_name, cell.axis_values, settings)
        control = self.add(replace(made, role=role, axis_values=values, is_baseline=False), cell.axis_values)
        self.cells[name] = replace(cell, start=cell.start._replace(control=control))


# Controls as values of the axis that says how cells start


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


def axes_with_controls(axes: Mapping[str, AxisConfig], cells: Iterable[Cell]) -> dict[str, list[AxisValue]]:
    """Axis -> its values, those of controls in the plan after the space's own."""
    found: dict[str, list[AxisValue]] = {name: list(axis.names) for name, axis in axes.items()}
    for cell in cells:
        for name, value in cell.axis_values.items():
            if cell.role == "design" and value not in found[name]:
                found[name].append(value)
    return found


# Chains: the order in which they can run, and as `plan` prints them


def lineage(cell: Cell, cells: Mapping[str, Cell]) -> list[tuple[Cell, int | None]]:
    """The chain of warm starts that ends with a cell, among these by name.

    Each with the epoch that the next one goes on from, None for its last.
    """
    found: list[tuple[Cell, int | None]] = [(cell, None)]
    while (start := found[0][0].start) is not None and start.cell is not None:
        found.insert(0, (cells[start.cell], start.epoch))
    return found


def parents_first(cells: Sequence[Cell]) -> list[Cell]:
    """The cells in their order, but each after the one it starts from."""
    by_name = {cell.name: cell for cell in cells}
    return list({one.name: one for cell in cells for one, _ in lineage(cell, by_name)}.values())


def chain_lines(cells: Sequence[Cell], family: Family) -> Iterator[str]:
    """One line per warm cell: the chain it ends, and its control."""
    by_name = {cell.name: cell for cell in cells}
    for cell in (cell for cell in cells if cell.start is not None):
        chain = lineage(cell, by_name)
        parts = [_with_epochs(family, one, epoch) for one, epoch in chain]
        if (first := chain[0][0].start) is not None:
            parts.insert(0, f"{first.file} ({(first.digest or '')[:8]})")
        control = by_name.get((cell.start and cell.start.control) or "")
        if control is not None:
            parts[-1] += f"; equal compute from scratch: {_with_epochs(family, control)}"
        yield " -> ".join(parts)


def _with_epochs(family: Family, cell: Cell, epoch: int | None = None) -> str:
    epochs = family.num_epochs(cell.config)
    count = (
        f"epoch {epoch} of {epochs}" if epoch is not None else f"{epochs} epoch{'' if epochs == 1 else 's'}"
    )
    return f"{cell.name} ({count})"
