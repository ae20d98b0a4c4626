"""How alpha is shared out among everything that a study may say, whatever is done to it.

Each comparison may be judged at several looks, each at a level of its own, and is wrong in at most the sum of them. All
levels of all comparisons together are at most alpha, so by the union bound the chance of any false word in the study is
at most alpha: for any dependence among looks and comparisons, and any reason for going on or stopping.

- The first plan that can decide has 90 % of alpha, in equal parts for its comparisons; a look after n_k of its N seeds
  has (n_k - n_{k-1}) / N of a part. A plan judged once at its N seeds has the whole part.
- Comparisons that claims make on other metrics share a fifth of that, so that they cost the others little.
- Where seeds too few to decide had been seen before that plan was made, it has half as much: whoever has seen them may
  choose the plan that they favour. The best such choice, with up to five seeds seen, errs in at most twice the level.
- Every later plan (more seeds, other seeds, new cells) may spend half of what is left of the reserve of 10 %, on the
  looks that are new in it: all comparisons that were ever planned share it where the seeds are new, else the new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.ledger import PlannedLooks

RESERVE = 0.1
"""Of alpha, for what was not planned at first."""
CLAIMS = 0.2
"""Of a plan's share, for comparisons on other metrics than the primary one, where it has both."""
AFTER_A_GLANCE = 0.5
"""Of its share, for a plan made after seeds too few to decide had been seen."""


@dataclass(frozen=True)
class Look:
    """One comparison after some of its seeds, and what that may cost."""

    seeds: tuple[int, ...]
    level: float
    plan: int
    """Index of the plan that it belongs to."""
    is_last: bool
    """Whether it is the last of its plan."""


@dataclass(frozen=True)
class Spending:
    """Who may spend how much of alpha."""

    alpha: float
    looks: dict[str, list[Look]]
    """Key of a comparison -> its looks, in the order of the plans."""
    shares: list[float]
    """What each plan may spend; 0 for one that can decide nothing or looks at nothing new."""
    saw_seeds_first: bool
    """Whether the first plan that could decide was made after seeds had been seen."""
    left: float
    """What is left for looks that are in no plan yet."""
    num_comparisons: int
    """Comparisons that were ever planned."""
    next_level: dict[str, float] = field(default_factory=dict)
    """What a comparison could be judged at with more seeds than the plan has."""

    def level_of(self, key: str) -> float:
        """The level of a comparison's last planned look, or what it would have in the next plan."""
        looks = self.looks.get(key)
        return looks[-1].level if looks else self.next_level.get(key, self.left / 2)


def spend(plans: Sequence[PlannedLooks], alpha: float, fewest: int) -> Spending:
    """Share alpha out over the plans of a study, the oldest first; `fewest` pairs can decide something."""
    looks: dict[str, list[Look]] = {}
    known: dict[str, bool] = {}  # key -> whether it is on the primary metric
    shares: list[float] = []
    left, is_first = RESERVE * alpha, True
    for number, plan in enumerate(plans):
        known |= dict.fromkeys(plan.claims, False) | dict.fromkeys(plan.comparisons, True)
        fresh = [key for key in (*plan.comparisons, *plan.claims) if not _has(looks.get(key, []), plan.seeds)]
        share = 0.0
        if fresh and len(plan.seeds) >= fewest:
            if is_first:
                share = (1 - RESERVE) * alpha * (AFTER_A_GLANCE if number else 1.0)
            else:
                share = left / 2
                left -= share
            has_new_seeds = not any(set(plan.seeds) == set(before.seeds) for before in plans[:number])
            levels = _levels(
                known if is_first or has_new_seeds else {key: known[key] for key in fresh}, share
            )
            for key in fresh:
                looks.setdefault(key, []).extend(_looks(plan, number, levels[key], looks.get(key, [])))
            is_first = False
        shares.append(share)
    saw_first = len(shares) > 1 and shares[0] == 0
    rest = left / 2
    if is_first:  # no plan could decide: the next one that can has its full share, after a glance
        rest = (1 - RESERVE) * alpha * (AFTER_A_GLANCE if plans else 1.0)
    return Spending(alpha, looks, shares, saw_first, left, len(known), _levels(known, rest))


def _levels(known: dict[str, bool], share: float) -> dict[str, float]:
    """The level of each comparison: equal parts on the primary metric, equal parts on others."""
    counts = {kind: sum(is_primary is kind for is_primary in known.values()) for kind in (True, False)}
    parts = {True: 1.0, False: 1.0} if 0 in counts.values() else {True: 1 - CLAIMS, False: CLAIMS}
    return {key: share * parts[kind] / counts[kind] for key, kind in known.items()}


def _looks(plan: PlannedLooks, number: int, level: float, before: Sequence[Look]) -> list[Look]:
    """The looks of a plan at one comparison that it has not had yet; each has its part by the seeds that it adds."""
    ends = zip((0, *plan.schedule[:-1]), plan.schedule, strict=True)
    found = [
        Look(plan.seeds[:now], level * (now - then) / plan.schedule[-1], number, now == plan.schedule[-1])
        for then, now in ends
    ]
    return [look for look in found if not _has(before, look.seeds)]


def _has(looks: Sequence[Look], seeds: Sequence[int]) -> bool:
    return any(set(look.seeds) == set(seeds) for look in looks)
