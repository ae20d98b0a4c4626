"""What a search will cost before its points are known, and `--max-cost` for it.

Its trials are priced as points drawn at random from the space. A search does not stay random: it goes where the
results are good, whatever that costs. So at the ends of the range every trial costs what the cheapest, or the
most expensive, tenth of the drawn points does. What pruning and `--timeout` save is not counted.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.execution.contract import JoinedCluster
from orchestrator.ledger import Ledger
from orchestrator.plan.cells import TrialSpec
from orchestrator.search.candidates import Candidate, Candidates
from orchestrator.search.objectives import search_config
from orchestrator.search.results import RESULTS_FILE, Results
from orchestrator.search.running import reachable
from orchestrator.search.winner import retest_folder
from orchestrator.space.designs.random import Config as RandomConfig
from orchestrator.space.points import is_allowed
from orchestrator.study.launch import Study, configs_to_prepare
from orchestrator.study.price.budget import keep_limit
from orchestrator.study.price.pilots import Announce, silently
from orchestrator.study.price.pricing import Price
from orchestrator.study.price.quoting import Quote
from orchestrator.study.price.ranges import Range
from orchestrator.study.price.room import lacking_room
from orchestrator.study.runner import RunOptions
from trainables.settings import Settings
from trainables.wording import duration

NUM_DRAWS = 40
"""Points that stand for a space."""


class SearchQuote:
    """Prices of the trials that a search has left, the test of its winner included."""

    def __init__(
        self,
        study: Study,
        options: RunOptions | None = None,
        announce: Announce = silently,
        joined: JoinedCluster | None = None,
    ) -> None:
        """`joined` as for `Quote`."""
        config = search_config(study.space.config)
        candidates = Candidates(study.space)
        self._study = study
        self._quote = Quote(study, options, announce, joined)
        self._prepared = reachable(study.space)
        self._default = candidates.default.config
        self._draws = [candidate.config for candidate in _drawn(candidates)]
        self._num_seeds = len(candidates.seeds)
        ended = candidates.of_records(Ledger(study.ledger_folder).records())
        self.num_ended = len(ended)
        """Points that it has tried, in the launches before."""
        self.num_left = max(0, config.trials - len(ended))
        """Points that the search may still try."""
        self._default_is_done = candidates.default.signature in ended
        self._num_tests = _num_tests(study, config.retest.seeds, is_through=self.num_left == 0)

    @property
    def is_through(self) -> bool:
        """Whether all is tried and tested."""
        return self.num_left == 0 and self._num_tests == 0

    def of(self, num_points: int) -> Price | None:
        """Price of this many more points; None where nothing is left to do."""
        if num_points == 0 and self._num_tests == 0:
            return None
        timed = self._priced(len(self._draws), self._draws)  # Times every kind that was never measured here.
        if timed is None or timed.seconds is None:
            return timed
        by_cost = sorted(self._draws, key=self._quote.seconds_of)
        tenth = len(by_cost) // 10
        choices = (by_cost, [by_cost[tenth]], [by_cost[-1 - tenth]])
        typical, cheap, expensive = (self._priced(num_points, configs) or timed for configs in choices)
        low, likely, high = cheap.seconds, typical.seconds, expensive.seconds
        if low is None or likely is None or high is None:
            return typical
        return replace(typical, seconds=Range(low.low, likely.typical, high.high))

    def seconds_to_checkpoint(self) -> float:
        """As `Quote.seconds_to_checkpoint`, of the untuned default; by earlier trials alone, unless `of` came first."""
        return self._quote.seconds_to_checkpoint(self._default)

    def _priced(self, num_points: int, configs: Sequence[Settings]) -> Price | None:
        """Price with these configurations in turn for the points that are not known yet."""
        first = [self._default][: 0 if self._default_is_done else num_points]
        searched = [*first, *_in_turn(configs, num_points - len(first))] * self._num_seeds
        tests = [self._default, *_in_turn(configs, 1)] * self._num_tests
        trials = tuple(
            TrialSpec("", 0, str(number), None, config) for number, config in enumerate([*searched, *tests])
        )
        return self._quote.of(replace(self._study.plan, trials=trials), (), self._prepared)


def _drawn(candidates: Candidates) -> list[Candidate]:
    """Points of the space that can be trained, evenly drawn; the default where there is no other."""
    config = candidates.space.config
    design = RandomConfig(kind="random", samples=NUM_DRAWS)
    points = design.points(
        config.axes, candidates.baseline, lambda values: is_allowed(config, values, candidates.baseline)
    )
    found: list[Candidate] = []
    for point in points:
        try:
            found.append(candidates.checked(point))
        except ValueError:  # The search would be told that it failed, at once and for nothing.
            continue
    return found[1:] or found


def _num_tests(study: Study, num_seeds: int, *, is_through: bool) -> int:
    """Seeds that the test of the winner still has to train, with the winner and with the default.

    None where the search is through and has found nothing better than the default.
    """
    path = study.folder / RESULTS_FILE
    if is_through and path.is_file():
        found = Results.model_validate_json(path.read_bytes())
        if found.winner == found.default.signature:
            return 0
    records = Ledger(retest_folder(study) / "ledger").records()
    num_done = sum(1 for record in records if record["status"] == "done")
    return max(0, num_seeds - num_done // 2)


def search_lacks_room(study: Study, price: Price | None) -> str:
    """What is wrong where the disk of the results has less room than the search may need; nothing where it has enough.

    Every point counts as the largest model that an axis has at one of its ends.
    """
    prepared, family = reachable(study.space), study.space.family
    num_seeds = len(study.space.config.first_seeds)
    left = search_config(study.space.config).trials * num_seeds - len(Ledger(study.ledger_folder).records())
    largest = max(
        (trial.config for trial in prepared.trials), key=lambda config: family.num_parameters(config) or 0
    )
    to_prepare = configs_to_prepare(prepared, {trial.signature for trial in prepared.trials})
    known = None if price is None else price.num_bytes
    return lacking_room(study, [largest] * max(left, 0), to_prepare, known)


def _in_turn(configs: Sequence[Settings], count: int) -> list[Settings]:
    """So many of them, evenly from all."""
    return [configs[(2 * index + 1) * len(configs) // (2 * count)] for index in range(count)]


def check_search_cost(quote: SearchQuote, price: Price | None, text: str, seconds: float) -> None:
    """Raise ConfigError when the search may cost more than `seconds`, which the user wrote as `text`."""
    keep_limit(price, text, seconds, "the search costs", lambda: _what_fits(quote, seconds))


def _what_fits(quote: SearchQuote, seconds: float) -> str:
    """The most trials that the limit allows."""

    def seconds_high(num_points: int) -> float:
        found = quote.of(num_points)
        return 0.0 if found is None or found.seconds is None else found.seconds.high

    most = bisect_right(range(1, quote.num_left + 1), seconds, key=seconds_high)
    if most == 0:
        return f"budget too small for one trial plus the retest (up to {duration(seconds_high(1))})"
    return f"--trials {quote.num_ended + most} would fit (up to {duration(seconds_high(most))})"
