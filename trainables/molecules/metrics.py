"""What a trial on molecules is judged by."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class MetricInfo(NamedTuple):
    """How a metric is named and read. `{unit}` stands for the unit of the target."""

    label: str
    unit: str
    higher_is_better: bool
    description: str


PRIMARY = "skill"
METRICS = {
    "skill": MetricInfo(
        "Skill against the composition fit",
        "",
        True,
        "1 - MAE / MAE of a linear fit on the counts of atoms, made on the same training molecules. 0: no better than "
        "that fit; 1: no error; negative: worse than counting atoms.",
    ),
    "mae": MetricInfo("Mean absolute error", "{unit}", False, "On the test molecules as QM9 stores them."),
    "skill_rotated": MetricInfo(
        "Skill on turned molecules", "", True, "The skill where every test molecule is turned at random."
    ),
    "mae_rotated": MetricInfo(
        "Mean absolute error on turned molecules",
        "{unit}",
        False,
        "Where every test molecule is turned at random.",
    ),
    "rotation_change": MetricInfo(
        "Change of a prediction by a turn",
        "{unit}",
        False,
        "Mean size of the difference between predictions for a molecule as stored and turned at random; 0 but for "
        "rounding in a model that is invariant.",
    ),
}
"""Numbers of every test molecule, whose means are the summary of a trial."""

Values = NDArray[np.float64]


def of_each(truth: Values, predicted: Values, turned: Values, composition_mae: float) -> dict[str, Values]:
    """Every metric for every molecule, (M,) each, from true values and predictions in the target's unit."""
    errors, errors_turned = np.abs(predicted - truth), np.abs(turned - truth)
    return {
        "skill": 1 - errors / composition_mae,
        "mae": errors,
        "skill_rotated": 1 - errors_turned / composition_mae,
        "mae_rotated": errors_turned,
        "rotation_change": np.abs(turned - predicted),
    }
