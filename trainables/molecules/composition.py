"""The value of a target that the counts of atoms explain, which every model is compared with."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trainables.errors import UserError
from trainables.molecules.molecules import Molecules, element_counts

Values = NDArray[np.float64]


class CompositionFit(NamedTuple):
    """Least squares on the counts of the five elements and a constant, over the training molecules alone.

        target = coefficients · (counts, 1) + scale · (what a network learns)

    Departure: published models learn (target - mean) / MAD with both from the whole training split, even where they
    train on a part of it. A linear function of the counts is most of what a small network would learn first.
    """

    coefficients: Values
    """(6,), in the target's unit."""
    scale: float
    """Mean absolute residual of the training molecules, in the target's unit."""

    @classmethod
    def of(cls, molecules: Molecules) -> Self:
        """The fit to these molecules. An element that none of them has gets coefficient 0.

        Raises UserError where the counts explain every value and leave nothing to learn.
        """
        inputs = _inputs(molecules)
        coefficients: Values = np.linalg.lstsq(inputs, molecules.values, rcond=None)[0].astype(np.float64)
        scale = float(np.abs(molecules.values - inputs @ coefficients).mean())
        if scale < 1e-9 * (1 + float(np.abs(molecules.values).max())):
            raise UserError(
                f"num_train: the counts of atoms explain all {len(molecules)} training molecules; expected more of them"
            )
        return cls(coefficients, scale)

    def predict(self, molecules: Molecules) -> Values:
        """What the counts alone say, (M,)."""
        return _inputs(molecules) @ self.coefficients

    def normalised(self, molecules: Molecules) -> Values:
        """What a network is trained to give, (M,): around 0, mean size 1 over the training molecules."""
        return (molecules.values - self.predict(molecules)) / self.scale

    def denormalised(self, molecules: Molecules, outputs: Values) -> Values:
        """Predictions in the target's unit, (M,), from a network's outputs."""
        return self.predict(molecules) + self.scale * outputs


def mean_absolute_error(predictions: Values, molecules: Molecules) -> float:
    """Mean of |prediction - value|, in the target's unit."""
    return float(np.abs(predictions - molecules.values).mean())


def _inputs(molecules: Molecules) -> Values:
    counts = element_counts(molecules.atomic_numbers)
    return np.concatenate([counts, np.ones((len(counts), 1))], axis=1)
