"""The shortest way in: a function, a baseline and what to vary."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyrp_sweep.study import Study, open_space
from trainables.function_family import FunctionFamily


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
    values = {
        axis: list(dict.fromkeys([baseline[axis], *given])) if axis in baseline else list(given)
        for axis, given in axes.items()
    }
    found = name or getattr(train, "__name__", "study").strip("<>")
    family = FunctionFamily(found, train, baseline, values, {metric: higher_is_better})
    space = {
        "question": question or f"Which of {', '.join(axes)} matters for {metric}?",
        "family": f"./{found}_family.py",
        "baseline": dict(baseline),
        "axes": {axis.replace(".", "_"): {"path": axis, "values": given} for axis, given in values.items()},
        "design": design,
        "seeds": seeds if isinstance(seeds, int) else list(seeds),
        "primary": {"metric": metric, "margin": margin},
    }
    study = open_space(space, name=found, results=results, family=family)
    return study.run(inline=inline, quiet=quiet, log_to=log_to) if run else study
