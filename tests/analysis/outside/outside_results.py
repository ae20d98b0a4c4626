"""Results that were measured elsewhere, and the question that tests ask of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.outside.question import ask
from analysis.outside.reading import read
from analysis.outside.rows import of_frame
from analysis.outside.verdicts import Verdicts, judge_rows

ASKED: dict[str, Any] = {"variant": "model", "metric": "acc", "seed": "seed", "baseline": "a", "margin": 0.02}


def judged(results: Path | Sequence[Path] | pd.DataFrame, **asked: Any) -> Verdicts:
    question = ask(**ASKED | asked)
    if isinstance(results, pd.DataFrame):
        return judge_rows(of_frame(results, question.columns), question)
    return judge_rows(read([results] if isinstance(results, Path) else results, question.columns), question)


def runs(num_seeds: int = 8, better: float = 0.05) -> pd.DataFrame:
    """Two variants; `b` is better, `c` the same."""
    generator = np.random.default_rng(0)
    rows = [
        {"model": model, "seed": seed, "acc": 0.8 + shift + shared + generator.normal(0, 0.003)}
        for seed, shared in enumerate(generator.normal(0, 0.02, num_seeds))
        for model, shift in (("a", 0.0), ("b", better), ("c", 0.0))
    ]
    return pd.DataFrame(rows)
