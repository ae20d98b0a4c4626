"""What a search will cost is told before its points are known, and compared with a limit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.search.search_price import SearchQuote, check_search_cost
from orchestrator.space.config import ConfigError, Space
from orchestrator.study.launch import Study, open_study

SPACE = """
question: Which settings suit?
baseline:
  domain: tiny
  attribute: goblin
  editor: {kind: conv}
  training: {epochs: 2}
  evaluation: {num_images: 8, strengths: [0.0, 1.0]}
axes:
  epochs: {path: training.epochs, values: {low: 1, high: 10}}
design: {kind: optuna, trials: 8, retest: {seeds: 3}}
seeds: 1
primary: {metric: counterfactual_gain, margin: 0.1}
"""


@pytest.fixture
def opened(
    load: Callable[[str], Space], tmp_path: Path, write_done: Callable[..., None]
) -> Callable[..., Study]:
    """A search beside a study that has a finished trial of its kind, which took 40 seconds with 2 epochs."""

    def at(text: str = SPACE) -> Study:
        space = load(text)
        write_done(tmp_path / "results", build_plan(space), 30, 40)
        return open_study(space, tmp_path / "results")

    return at


def test_a_search_is_priced_by_points_of_its_space_and_the_test_of_its_winner(
    opened: Callable[..., Study],
) -> None:
    quote = SearchQuote(opened())

    price = quote.of(quote.num_left)

    assert price is not None
    assert price.num_trials == 8 + 2 * 3
    assert price.seconds is not None
    # From 1 to 10 epochs the cheapest and the most expensive search lie far apart.
    assert 2 * price.seconds.low < price.seconds.typical < price.seconds.high


def test_every_seed_of_a_point_is_paid_for(opened: Callable[..., Study]) -> None:
    quote = SearchQuote(opened(SPACE.replace("seeds: 1", "seeds: 2")))

    price = quote.of(quote.num_left)

    assert price is not None
    assert price.num_trials == 2 * 8 + 2 * 3


def test_a_search_beyond_its_limit_is_refused_with_what_would_fit(opened: Callable[..., Study]) -> None:
    quote = SearchQuote(opened())
    price, fewer = quote.of(8), quote.of(4)
    assert price is not None
    assert fewer is not None
    assert price.seconds is not None
    assert fewer.seconds is not None

    with pytest.raises(ConfigError, match=r"--max-cost X: the search costs about .*; --trials 4 would fit"):
        check_search_cost(quote, price, "X", fewer.seconds.high)
    with pytest.raises(ConfigError, match="budget too small for one trial"):
        check_search_cost(quote, price, "1s", 1)
    check_search_cost(quote, price, "X", price.seconds.high)
