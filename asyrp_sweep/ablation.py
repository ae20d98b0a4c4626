"""The shortest way in: a function, a baseline and what to vary."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyrp_sweep.study import Study, open_space
from trainables.errors import UserError
from trainables.function_family import FunctionFamily
from trainables.names import distinct, folded
from trainables.wording import expected


def ablate(
    train: Callable[..., Any],
    *,
    baseline: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]],
    metric: str,
    margin: float,
    seeds: int | Sequence[int] = 6,
    higher_is_better: bool = True,
    name: str | None = None,
    question: str = "",
    design: str = "one_factor",
    results: str | Path = "results",
    run: bool = True,
    inline: bool = False,
    quiet: bool = False,
    log_to: Sequence[str] = (),
) -> Study:
    """Train `baseline` and every change of it that `axes` names, with every seed, and judge each change.

    `train` is called with the settings and the seed by their names, `train(width=64, rate=0.1, seed=0)`, or as
    `train(config, seed)` where its first parameter is called `config`; with a parameter `report` it is also given the
    function that records curves, `report(epoch=1, loss=0.5)`. It returns the metrics, a dict, or the metrics and a row
    for every item measured. `axes` maps a setting to its values; the baseline's own is added where it is missing.
    `margin` is the smallest difference of `metric` that matters.

    Same ledger, verdicts, report and resume as `asyrp-sweep run`: called again, it runs only what is missing. The
    function's source, and that of the functions of its module that it uses, is part of each trial's identity.
    Raises ConfigError (a UserError) with everything that is wrong.
    """
    if not isinstance(metric, str):
        raise UserError(f"metric: {expected('the name of one that the function returns', metric)}")
    baseline = _plain(baseline, "baseline")
    values = {axis: _values(given, axis, baseline) for axis, given in axes.items()}
    found = name or getattr(train, "__name__", "study").strip("<>")
    family = FunctionFamily(found, train, baseline, values, {metric: higher_is_better})
    space = {
        "question": question or f"Which of {', '.join(axes)} matters for {metric}?",
        "family": f"./{found}_family.py",
        "baseline": baseline,
        "axes": _axes(values),
        "design": design,
        "seeds": _plain(list(seeds) if isinstance(seeds, range) else seeds, "seeds"),
        "primary": {"metric": metric, "margin": _plain(margin, "margin")},
    }
    study = open_space(space, name=found, results=results, family=family)
    return study.run(inline=inline, quiet=quiet, log_to=log_to) if run else study


def _axes(values: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Axes by names of their own, numbered where two settings differ in capitals or a dot alone."""
    found: dict[str, Any] = {}
    for setting, given in values.items():
        name = distinct(setting.replace(".", "_"), set(map(folded, found)))
        found[name] = {"path": setting, "values": given}
    return found


def _values(given: Any, axis: str, baseline: Mapping[str, Any]) -> list[Any]:
    """Values of an axis, the baseline's first. Raises UserError where they are no list."""
    found = _plain(list(given) if isinstance(given, range) else given, f"axes[{axis!r}]")
    if not isinstance(found, list | tuple):
        raise UserError(f"axes[{axis!r}]: {expected('a list of values', given)}")
    own = [baseline[axis]] if axis in baseline else []
    return [value for index, value in enumerate([*own, *found]) if value not in [*own, *found][:index]]


def _plain(value: Any, place: str) -> Any:
    """A value as YAML can hold it, numpy's as Python's. Raises UserError for one of another kind."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(own, f"{place}.{name}") for name, own in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(own, f"{place}[{index}]") for index, own in enumerate(value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(f"{place}: {expected('a number, text, a list or a mapping', value)}")
