"""The trade-off that a search of several objectives has found: each trial by two of them, and the Pareto set."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from analysis.figures._base import Axes, FigureConfig, FigureKind, Problems, unknown_metric
from analysis.figures._panels import panel_grid
from analysis.figures._text import TextTable
from analysis.figures.pareto import costs, draw_point
from analysis.frames import StudyFrames
from analysis.labels import axis_label, metric_info, model_name, number, plural, value_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ["place", "signature", "settings", "x_name", "x", "y_name", "y", "is_front", "is_default"]


class Config(FigureConfig):
    """One point per trial of the search."""

    kind: Literal["trade_off"]
    x: str | None = None
    """An objective of the search; its second one when left out."""
    y: str | None = None
    """An objective of the search; its first one when left out."""

    def problems(self, axes: Axes) -> Problems:
        """A name that can be no objective; which ones a search has, the command line may decide."""
        return [*unknown_metric(("x",), self.x, costs()), *unknown_metric(("y",), self.y, costs())]

    def default_name(self) -> str:
        """`trade_off`."""
        return "trade_off"

    def heading(self) -> str:
        """`What no other trial beats`."""
        return "What no other trial beats"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per finished trial, the Pareto set first, each by `y` from the best; `place` numbers them.

    The set is that of all objectives, as the search left it in `tuning.json`.
    """
    found = frames.search_results
    better = {entry["name"]: entry["higher_is_better"] for entry in found.get("objectives", [])}
    names = list(better)
    x, y = config.x or (names[1] if len(names) > 1 else ""), config.y or (names[0] if names else "")
    if x not in names or y not in names:
        return pd.DataFrame(columns=_COLUMNS)
    default = (found.get("default") or {}).get("signature")
    cells = {cell.cell: dict(cell.axis_values) for cell in frames.study.cells}
    rows = [
        {
            "signature": trial["signature"],
            "settings": _settings(cells.get(trial["cell"], trial["axis_values"])),
            "x_name": x,
            "x": float(trial["values"][names.index(x)]),
            "y_name": y,
            "y": float(trial["values"][names.index(y)]),
            "is_front": bool(trial["is_pareto"]),
            "is_default": trial["signature"] == default,
        }
        for trial in found["trials"]
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS[1:])
    order = table.assign(badness=-table["y"] if better[y] else table["y"])
    table = table.loc[order.sort_values(["is_front", "badness"], ascending=[False, True]).index]
    table.insert(0, "place", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{axis_label(axis)} {value_label(value)}" for axis, value in values.items())


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Filled and numbered: the Pareto set; open: trials that another one beats; the square is the untuned default."""
    from analysis import style
    from analysis.figures._labels_beside import label_points

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No search of several objectives has ended here.")
        figure, (panel,) = panel_grid(1, height=2.8, legend=0)
        figure.set_size_inches(4.4, 2.8)
        for row in table[::-1].to_dict("records"):  # the Pareto set last, so that nothing hides it
            draw_point(panel, row["x"], row["y"], row["is_front"], row["is_default"])
        panel.set_xlabel(_label(str(table["x_name"].iloc[0])), **style.MATH)
        panel.set_ylabel(_label(str(table["y_name"].iloc[0])), **style.MATH)
        panel.margins(x=0.1, y=0.1)
        style.light_grid(panel, "y")
        front = table[table["is_front"]]
        label_points(figure, panel, front["x"], front["y"], [str(place) for place in front["place"]])
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is filled, how many they are, and what it is not."""
    if table.empty:
        return "The trade-off between a search's objectives. No search of several objectives has ended here."
    count = plural(int(table["is_front"].sum()), "trial")
    return (
        f"{_plain_label(table['y_name'].iloc[0])} against {_plain_label(table['x_name'].iloc[0])} of "
        f"{plural(len(table), 'finished trial')}; arrows say where better is. Filled: {count} that no other one beats "
        "in every objective, numbered as in the table. The square is the untuned default. Picked from one search: "
        "only a test on fresh seeds compares."
    )


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """The Pareto set with its settings, and the names of their models."""
    shown = table.iloc[:1].to_dict("records")
    titles = [_plain_label(row[name]) for row in shown for name in ("y_name", "x_name")] or ["y", "x"]
    rows = [
        [str(row["place"]), row["settings"], row["signature"], number(row["y"]), number(row["x"])]
        for row in table[table["is_front"].astype(bool)].to_dict("records")
    ]
    return TextTable(["number", "settings", model_name(), *titles], rows, 3)


def _label(name: str) -> str:
    return f"{costs()[name]} ↓" if name in costs() else metric_info(name).plot_label


def _plain_label(name: str) -> str:
    """As `_label`, for text."""
    return f"{costs()[name]} ↓" if name in costs() else f"{metric_info(name).label} {metric_info(name).arrow}"


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
