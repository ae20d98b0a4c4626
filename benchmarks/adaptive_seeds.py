"""Error rate, power and cost of adding seeds until decided, by simulation: the tables of docs/design/006.

    python benchmarks/adaptive_seeds.py

Paired differences are drawn, judged look by look by paired t tests and TOST under Holm, and counted. The sign flip,
which can only keep a verdict back, is left out: the error rates are those of the tests alone. m contrasts share a
baseline, so their differences correlate by one half.
"""

import itertools
import sys
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, stats

SCHEDULE = (6, 10, 13, 16, 20)
ALPHA = 0.05
CHUNK = 10_000

Levels = Callable[[float], Sequence[float]]
"""From the error a contrast may have in all to the level of every look."""


def classical_levels(alpha: float) -> list[float]:
    """Lan and DeMets' boundary for the same spending, from the normal law with a known spread."""
    grid, levels = 401, [alpha * SCHEDULE[0] / SCHEDULE[-1]]
    bound = float(stats.norm.isf(levels[0] / 2)) * SCHEDULE[0] ** 0.5
    sums = np.linspace(-bound, bound, grid)
    density = stats.norm.pdf(sums, scale=SCHEDULE[0] ** 0.5)
    for before, now in itertools.pairwise(SCHEDULE):
        spread, spent = (now - before) ** 0.5, alpha * (now - before) / SCHEDULE[-1]

        def excess(b: float, s=sums, d=density, w=spread, cost=spent) -> float:
            return (
                float(np.trapezoid(d * (stats.norm.sf((b - s) / w) + stats.norm.cdf((-b - s) / w)), s)) - cost
            )

        bound = float(optimize.brentq(excess, 0.0, abs(sums[0]) + 20 * spread))
        levels.append(2 * float(stats.norm.sf(bound / now**0.5)))
        following = np.linspace(-bound, bound, grid)
        density = np.trapezoid(density * stats.norm.pdf(following[:, None], loc=sums, scale=spread), sums)
        sums = following
    return levels


def spent_by_seeds(alpha: float) -> list[float]:
    """What `analysis.stats.spending` gives each look: its part by the seeds that it adds."""
    return [alpha * (now - before) / SCHEDULE[-1] for before, now in itertools.pairwise((0, *SCHEDULE))]


RULES: dict[str, tuple[tuple[int, ...], Levels]] = {
    "20 seeds, one look": ((20,), lambda alpha: [alpha]),
    "5 looks, each at alpha": (SCHEDULE, lambda alpha: [alpha] * len(SCHEDULE)),
    "5 looks, Lan-DeMets": (SCHEDULE, classical_levels),
    "5 looks, ours": (SCHEDULE, spent_by_seeds),
}


def p_values(x: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """p of the paired t test and of TOST; x is (runs, m, n)."""
    n = x.shape[-1]
    mean, error = x.mean(-1), x.std(-1, ddof=1) / n**0.5
    equal = np.maximum(
        stats.t.sf((mean + margin) / error, n - 1), stats.t.cdf((mean - margin) / error, n - 1)
    )
    return 2 * stats.t.sf(np.abs(mean) / error, n - 1), equal


def holm(p: np.ndarray, is_open: np.ndarray, rejected: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Which open hypotheses fall at a look; p is (runs, m), levels is what `r` earlier rejections leave."""
    falls, p, going = np.zeros_like(is_open), np.where(is_open, p, 2.0), np.ones(len(p), bool)
    rows = np.arange(len(p))
    for _ in range(p.shape[1]):
        first = p.argmin(1)
        going &= p[rows, first] <= levels[np.minimum(rejected + falls.sum(1), len(levels) - 1)]
        falls[rows[going], first[going]] = True
        p[rows, first] = 3.0
    return falls


def simulate(
    rule: str, effects: Sequence[float], margin: float, runs: int, heavy: bool = False
) -> dict[str, float]:
    """Share of runs with a wrong or right verdict on any contrast, and seeds spent on a contrast."""
    schedule, levels_of = RULES[rule]
    m = len(effects)
    levels = np.array([levels_of(ALPHA / (m - r)) for r in range(m)])
    draw = np.random.default_rng(1)
    found = {"different": 0.0, "equal": 0.0, "each decided": 0.0, "seeds": 0.0}
    for _ in range(runs // CHUNK):
        size = (CHUNK, m + 1, schedule[-1])
        noise = draw.standard_t(3, size) if heavy else draw.standard_normal(size)
        x = (noise[:, 1:] - noise[:, :1]) / 2**0.5 + np.asarray(effects)[:, None]
        is_open = np.ones((CHUNK, m), bool)
        different, equal, spent = ~is_open, ~is_open, np.zeros((CHUNK, m))
        for look, n in enumerate(schedule):
            spent[is_open] = n
            p, q = p_values(x[:, :, :n], margin)
            falls = holm(p, is_open, different.sum(1), levels[:, look])
            same = holm(q, is_open, equal.sum(1), levels[:, look])
            equal |= same
            different |= falls & ~same
            is_open &= ~(falls | same)
        found["different"] += different.any(1).sum() / runs
        found["equal"] += equal.any(1).sum() / runs
        found["each decided"] += (~is_open).mean(1).sum() / runs
        found["seeds"] += spent.mean(1).sum() / runs
    return found


def main(runs: int) -> None:
    """Print the tables."""
    print(f"{runs:,} runs; alpha {ALPHA}; looks after {SCHEDULE}; effects and margin in sd of the difference")
    print(f"{'':26}{'wrong: helps or hurts':>30}{'wrong: equivalent':>22}")
    print(f"{'':26}{'m=1':>7}{'m=4':>7}{'m=10':>7}{'t(3)':>9}{'m=1':>15}{'m=4':>7}")
    for rule in RULES:
        none = [simulate(rule, [0.0] * m, 1e-9, runs)["different"] for m in (1, 4, 10)]
        none.append(simulate(rule, [0.0], 1e-9, runs, heavy=True)["different"])
        edge = [simulate(rule, [1.0] * m, 1.0, runs)["equal"] for m in (1, 4)]
        print(
            f"{rule:26}"
            + "".join(f"{v:7.4f}" for v in none[:3])
            + f"{none[3]:9.4f}"
            + f"{edge[0]:15.4f}{edge[1]:7.4f}"
        )
    print(
        f"\n{'m=4, all alike; margin 1':26}" + "".join(f"{f'effect {e:g}':>16}" for e in (0, 0.5, 1, 1.5, 2))
    )
    for rule in (name for name in RULES if name in ("20 seeds, one look", "5 looks, ours")):
        cells = [simulate(rule, [effect] * 4, 1.0, runs) for effect in (0, 0.5, 1, 1.5, 2)]
        print(f"{rule:26}" + "".join(f"{cell['each decided']:8.2f}{cell['seeds']:8.1f}" for cell in cells))
    print("(share of contrasts decided, mean seeds of a cell)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
