"""asyrp-sweep for notebooks, scripts and files with a family of one's own.

    from asyrp_sweep import ablate

    study = ablate(train, baseline={"width": 64, "rate": 1e-3}, axes={"width": [32, 128]},
                   seeds=6, metric="accuracy", margin=0.01)
    study                                    # the verdicts, also as a table in a notebook
    study.trials, study.curves               # data frames
    study.figure("effects")                  # a matplotlib figure

`judge(frame, variant="model", seed="seed", metric="accuracy", baseline="small", margin=0.01)` gives the same verdicts
over results that were measured elsewhere.

`open_space("encoder")` gives the same object for a space in YAML, and `open_study("results/encoder")` what a folder
holds of a study, without its space. What runs, what is kept and how it is judged is the command line's: the same
results folder can be used by both.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainables.errors import UserError
from trainables.exchange import Coordinate, Metric
from trainables.family import Family
from trainables.settings import Settings
from trainables.trials import sample
from trainables.wording import did_you_mean

if TYPE_CHECKING:
    from asyrp_sweep.ablation import ablate
    from asyrp_sweep.judging import judge
    from asyrp_sweep.results import Results, open_study
    from asyrp_sweep.study import Study, open_space

__all__ = [
    "Coordinate",
    "Family",
    "Metric",
    "Results",
    "Settings",
    "Study",
    "UserError",
    "ablate",
    "judge",
    "open_space",
    "open_study",
    "sample",
]


_LAZY = {
    "ablate": "ablation",
    "judge": "judging",
    "Results": "results",
    "open_study": "results",
    "Study": "study",
    "open_space": "study",
}
"""Name -> module: studies import pandas and the planning, for which a file that only defines a family does not wait."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{did_you_mean(name, __all__)}",
        )
    return getattr(import_module(f"asyrp_sweep.{_LAZY[name]}"), name)
