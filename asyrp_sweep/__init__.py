"""asyrp-sweep for notebooks, scripts and files with a family of one's own.

    from asyrp_sweep import ablate

    study = ablate(train, baseline={"width": 64, "rate": 1e-3}, axes={"width": [32, 128]},
                   seeds=6, metric="accuracy", margin=0.01)
    study                                    # the verdicts, also as a table in a notebook
    study.trials, study.curves               # data frames
    study.figure("effects")                  # a matplotlib figure

`judge(frame, variant="model", seed="seed", metric="accuracy", baseline="small", margin=0.01)` gives the same verdicts
over results that were measured elsewhere.

`open_space("encoder")` gives the same object for a space in YAML. What runs, what is kept and how it is judged is the
command line's: the same results folder can be used by both.
"""

from typing import TYPE_CHECKING, Any

from trainables.errors import UserError
from trainables.exchange import Coordinate, Metric
from trainables.family import Family
from trainables.settings import Settings
from trainables.trials import sample

if TYPE_CHECKING:
    from asyrp_sweep.ablation import ablate
    from asyrp_sweep.judging import judge
    from asyrp_sweep.study import Study, open_space

__all__ = [
    "Coordinate",
    "Family",
    "Metric",
    "Settings",
    "Study",
    "UserError",
    "ablate",
    "judge",
    "open_space",
    "sample",
]


def __getattr__(name: str) -> Any:
    """Studies import pandas and the planning: a file that only defines a family does not wait for them."""
    if name == "ablate":
        from asyrp_sweep.ablation import ablate

        return ablate
    if name == "judge":
        from asyrp_sweep.judging import judge

        return judge
    if name in ("Study", "open_space"):
        from asyrp_sweep import study

        return getattr(study, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
