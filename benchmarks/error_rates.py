"""How often a study says anything false, and how often it decides, by simulation of the code that judges.

    python benchmarks/error_rates.py [RUNS]

A simulated user launches plans one after another, as `asyrp-sweep run` records them, reads every verdict that the
study then shows, and chooses the next plan by what was seen. It counts whether any word that was ever shown is false.
Plans, spending and verdicts are those of `orchestrator.ledger` and `analysis.stats`; only the differences are drawn. m
comparisons share a baseline, so their differences correlate by one half. Effects, margins and biases are in standard
deviations of a paired difference.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stats import Contrast, FloatArray, PairedSample, judge, min_pairs
from analysis.stats.sequential import judge_in_looks
from analysis.stats.spending import Look, spend
from orchestrator.ledger import PlannedLooks, plans_after

ALPHA = 0.05
MOST = 24
"""Seeds that are drawn for a cell."""
Shown = dict[int, Contrast]
"""Comparison -> how it stands after a launch."""
User = Callable[[FloatArray], Iterator[PlannedLooks]]
"""From all differences (m, MOST) to the plans that are launched. A user looks at those of finished seeds only, and is
sent what each launch shows."""


@dataclass(frozen=True)
class Truth:
    """What the simulated cells are."""

    effects: tuple[float, ...]
    margin: float = 0.0
    noise: str = "normal"

    def draw(self, runs: int, seed: int = 1) -> FloatArray:
        """Paired differences, (runs, m, MOST)."""
        draw, size = np.random.default_rng(seed), (runs, len(self.effects) + 1, MOST)
        if self.noise == "t(3)":
            values = draw.standard_t(3, size)
        elif self.noise == "skewed":
            values = draw.exponential(1.0, size)
        else:
            values = draw.standard_normal(size)
        spread = {"normal": 1.0, "t(3)": 3**0.5, "skewed": 1.0}[self.noise]
        apart = (values[:, 1:] - values[:, :1]) / (2**0.5 * spread)
        return np.asarray(apart + np.asarray(self.effects)[:, None])

    def is_false(self, index: int, shown: Contrast) -> bool:
        """Whether what a contrast says is false: its word, or that it is beyond the margin."""
        effect = self.effects[index]
        if shown.verdict == "equivalent":
            return abs(effect) >= self.margin
        if shown.verdict in ("helps", "hurts"):
            wrong = effect <= 0 if shown.verdict == "helps" else effect >= 0
            return wrong or (shown.exceeds_margin and abs(effect) < self.margin)
        return False


def plan(seeds: int | Sequence[int], cells: Sequence[int], schedule: Sequence[int] = ()) -> PlannedLooks:
    """A plan of these cells, each against the baseline."""
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    names = tuple(f"cell {index}" for index in cells)
    return PlannedLooks("", chosen, tuple(schedule) or (len(chosen),), ("baseline", *names), names)


def shown_by(plans: Sequence[PlannedLooks], differences: FloatArray, margin: float) -> Shown:
    """What the study shows once the last of its plans has run; `differences` are (m, MOST)."""
    spending = spend(plans, ALPHA, min_pairs(ALPHA))
    shown: Shown = {}
    present = plans[-1]
    for key in present.comparisons:
        index = int(key.removeprefix("cell "))
        own = differences[index]

        def sample_at(look: Look, own: FloatArray = own, key: str = key) -> PairedSample | None:
            if not set(look.seeds) <= set(present.seeds):
                return None
            return PairedSample(key, own[list(look.seeds)], look.seeds)

        looks = spending.looks.get(key, [])
        stage = judge_in_looks(looks, sample_at, margin=margin, alpha=ALPHA, next_level=0.0)
        if stage is not None:
            shown[index] = stage.contrast
    return shown


def study(truth: Truth, user: User, differences: FloatArray) -> tuple[bool, float]:
    """Whether anything false was ever shown, and which share of the comparisons was decided rightly in the end."""
    plans: list[PlannedLooks] = []
    is_false, last = False, {}
    launches = user(differences)
    try:
        new = next(launches)
        while True:
            plans = plans_after(plans, new)
            last = shown_by(plans, differences, truth.margin)
            is_false |= any(truth.is_false(index, one) for index, one in last.items())
            new = launches.send(last)
    except StopIteration:
        pass
    right = [one.verdict != "undecided" and not truth.is_false(index, one) for index, one in last.items()]
    return is_false, sum(right) / len(truth.effects)


def rates(truth: Truth, user: User, runs: int, seed: int = 1) -> tuple[float, float]:
    """Share of studies that show anything false, and mean share of comparisons rightly decided."""
    found = [study(truth, user, differences) for differences in truth.draw(runs, seed)]
    return float(np.mean([wrong for wrong, _ in found])), float(np.mean([share for _, share in found]))


# Users


def once(seeds: int) -> User:
    """Plan and run that many seeds, and stop."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        yield plan(seeds, range(len(differences)))

    return launches


def more_seeds(*counts: int) -> User:
    """Ask for more seeds until everything is decided."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        for count in counts:
            shown = yield plan(count, range(len(differences)))
            if shown and all(one.verdict != "undecided" for one in shown.values()):
                return

    return launches


def until_decided(*schedule: int) -> User:
    """`until: decided`, with its planned looks."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        yield plan(schedule[-1], range(len(differences)), schedule)

    return launches


def grow_cells(seeds: int, first: int) -> User:
    """Begin with some cells, and add one after another while the last one shows nothing."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        for count in range(first, len(differences) + 1):
            shown = yield plan(seeds, range(count))
            if shown[count - 1].verdict in ("helps", "hurts"):
                return

    return launches


def peek_then_plan(seen: int) -> User:
    """Look at a few seeds, keep the cell that looks best, and plan the number of seeds that favours it."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        yield plan(seen, range(len(differences)))
        sums = differences[:, :seen].sum(1)
        best = int(np.argmax(np.abs(sums)))
        yield plan(_favoured(abs(float(sums[best])), seen), [best])

    return launches


def _favoured(total: float, seen: int) -> int:
    """Number of seeds with the greatest chance of p <= 0.025, after `seen` of sum `total`."""
    from scipy import special

    counts = np.arange(6, MOST + 1)
    need = -special.ndtri(ALPHA / 4) * counts**0.5
    return int(counts[np.argmax((total - need) / np.maximum(counts - seen, 1e-9) ** 0.5)])


def give_up_losers(*counts: int) -> User:
    """More seeds each time, and only for the cells that look best so far."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        cells = list(range(len(differences)))
        for count in counts:
            yield plan(count, cells)
            means = np.abs(differences[:, :count].mean(1))
            cells = sorted(cells, key=lambda index: -means[index])[: max(1, len(cells) // 2)]

    return launches


def fresh_seeds(seeds: int, times: int) -> User:
    """Ask for other seeds until something is found."""

    def launches(differences: FloatArray) -> Iterator[PlannedLooks]:
        for number in range(times):
            shown = yield plan(range(number * seeds, (number + 1) * seeds), range(len(differences)))
            if any(one.verdict in ("helps", "hurts") for one in shown.values()):
                return

    return launches


USERS: dict[str, User] = {
    "10 seeds, once": once(10),
    "6, then 10, 14, 20": more_seeds(6, 10, 14, 20),
    "every second count from 6 to 24": more_seeds(*range(6, MOST + 1, 2)),
    "until decided, 6 to 20": until_decided(6, 10, 13, 16, 20),
    "2 cells, then one more at a time": grow_cells(10, 2),
    "5 seeds seen, then a favoured plan": peek_then_plan(5),
    "losers dropped, 6, 12, 24": give_up_losers(6, 12, 24),
    "other seeds, three times": fresh_seeds(8, 3),
}
NOTHING = {
    "m = 1": Truth((0.0,)),
    "m = 4": Truth((0.0,) * 4),
    "m = 10": Truth((0.0,) * 10),
    "4, t(3)": Truth((0.0,) * 4, noise="t(3)"),
    "4, skewed": Truth((0.0,) * 4, noise="skewed"),
    "4, margin 1": Truth((0.0,) * 4, 1.0),
    "4 at the margin": Truth((1.0,) * 4, 1.0),
    "2 at 0, 2 at it": Truth((0.0, 0.0, 1.1, 1.1), 1.1),
    "just below it": Truth((0.999,) * 4, 1.0),
}


def old_way(truth: Truth, counts: Sequence[int], runs: int) -> float:
    """What looking again at the full alpha does: the study is judged anew at every count, all words are read."""
    wrong = 0
    for differences in truth.draw(runs):
        for count in counts:
            samples = [PairedSample("", own[:count], tuple(range(count))) for own in differences]
            judged = judge(samples, margin=truth.margin, alpha=ALPHA)
            if any(truth.is_false(index, one) for index, one in enumerate(judged)):
                wrong += 1
                break
    return wrong / runs


def main(runs: int) -> None:
    """Print the tables of docs/statistics.md."""
    print(f"{runs:,} studies each; alpha {ALPHA}; standard error {(ALPHA * (1 - ALPHA) / runs) ** 0.5:.4f}")
    print("\nAny false word in a study\n")
    print(f"| | {' | '.join(NOTHING)} |\n|---|{'---|' * len(NOTHING)}")
    again = [f"**{old_way(truth, (6, 10, 14, 20), runs):.3f}**" for truth in NOTHING.values()]
    print(f"| *each of 6, 10, 14, 20 at alpha* | {' | '.join(again)} |")
    for name, user in USERS.items():
        found = [f"{rates(truth, user, runs)[0]:.3f}" for truth in NOTHING.values()]
        print(f"| {name} | {' | '.join(found)} |", flush=True)
    print("\nRightly decided, of 4 comparisons alike with margin 1, and 1 alone\n")
    effects = (0.0, 0.5, 1.0, 1.5, 2.0)
    titles = [f"{m}, effect {effect:g}" for m in (4, 1) for effect in effects]
    print(f"| | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}")
    for name in ("10 seeds, once", "until decided, 6 to 20", "6, then 10, 14, 20"):
        found = [
            f"{rates(Truth((e,) * m, 1.0), USERS[name], runs // 4)[1]:.2f}" for m in (4, 1) for e in effects
        ]
        print(f"| {name} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
