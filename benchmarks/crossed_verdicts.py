"""How often an interval misses, and a verdict is false, where seeds and items are crossed: the table of docs/judge.md.

    python benchmarks/crossed_verdicts.py [REPETITIONS]

Differences without an effect: d_si = a_s + b_i + e_si, with parts of the variance of the mean as said, their laws
normal, with heavy tails (t, three degrees of freedom) or skewed (exponential). The intervals are at 95 %; verdicts are
those of `judge` at alpha 0.05, with a margin that no such study can reach. About two minutes for 2,000 repetitions.
"""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from analysis.stats import PairedSample, judge, t_interval
from analysis.stats.crossed import Over, units

Floats = NDArray[np.float64]
DESIGNS = ((6, 6), (6, 100), (10, 200), (20, 20))
PARTS = {"seeds": (1.0, 0.0), "items": (0.0, 1.0), "both alike": (1.0, 1.0), "neither": (0.0, 0.0)}
LAWS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda generator, n: generator.standard_normal(n),
    "heavy tails": lambda generator, n: generator.standard_t(3, n) / 3**0.5,
    "skewed": lambda generator, n: generator.standard_exponential(n) - 1,
}
COLUMNS: tuple[Over, ...] = ("seeds", "items", "both")


def misses(generator: np.random.Generator, law: str, design: tuple[int, int], part: str) -> list[bool]:
    """One study: whether each of the intervals misses, and whether the verdict over both is false."""
    (num_seeds, num_items), (of_seeds, of_items) = design, PARTS[part]
    a = LAWS[law](generator, num_seeds)[:, None] * of_seeds * num_seeds**0.5
    b = LAWS[law](generator, num_items)[None, :] * of_items * num_items**0.5
    values = (a + b + generator.standard_normal((num_seeds, num_items))).ravel()
    seeds, items = (codes.ravel() for codes in np.indices((num_seeds, num_items)))
    found = {over: units(values, seeds, items, over) for over in COLUMNS}
    intervals = {over: t_interval(own) for over, own in found.items()}
    wider = max((intervals["seeds"], intervals["items"]), key=lambda own: own.high - own.low)
    shown = [t_interval(values), *intervals.values(), wider]
    sample = PairedSample("b", found["both"], tuple(range(len(found["both"]))))
    [contrast] = judge([sample], margin=1e-9, alpha=0.05)
    return [*(not own.low <= 0 <= own.high for own in shown), contrast.verdict != "undecided"]


def main(repetitions: int) -> None:
    print(
        "| seeds x items | what varies | law | every pair | seeds | items | both | the wider | false verdicts |"
    )
    print("| :-- | :-- | :-- " + "| --: " * 6 + "|")
    generator = np.random.default_rng(0)
    for design in DESIGNS:
        for part in PARTS:
            for law in LAWS if part != "neither" else ("normal",):
                rows = [misses(generator, law, design, part) for _ in range(repetitions)]
                shares = " | ".join(f"{100 * share:.1f}" for share in np.mean(rows, axis=0))
                print(f"| {design[0]} x {design[1]} | {part} | {law} | {shares} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
