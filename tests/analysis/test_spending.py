"""Alpha is shared out so that nothing a user does makes false verdicts more frequent than alpha."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from analysis.stats import PairedSample, contrast_of, judge, min_pairs
from analysis.stats.spending import Spending, spend
from orchestrator.ledger import PlannedLooks, plans_after

ALPHA = 0.05


def plan(
    seeds: int | range, cells: str, schedule: tuple[int, ...] = (), claims: tuple[str, ...] = ()
) -> PlannedLooks:
    chosen = tuple(range(seeds) if isinstance(seeds, int) else seeds)
    return PlannedLooks("", chosen, schedule or (len(chosen),), ("base", *cells), tuple(cells), claims)


def spent(*plans: PlannedLooks) -> Spending:
    history: list[PlannedLooks] = []
    for one in plans:
        history = plans_after(history, one)
    return spend(history, ALPHA, min_pairs(ALPHA))


def levels(spending: Spending, key: str) -> list[float]:
    return [look.level for look in spending.looks.get(key, [])]


def test_a_plan_judged_once_has_nearly_all_of_alpha() -> None:
    assert levels(spent(plan(10, "a")), "a") == [pytest.approx(0.045)]
    assert levels(spent(plan(10, "abcd")), "c") == [pytest.approx(0.045 / 4)]


def test_planned_looks_share_by_the_seeds_that_they_add() -> None:
    assert levels(spent(plan(20, "a", (6, 10, 20))), "a") == pytest.approx([0.0135, 0.009, 0.0225])


def test_more_seeds_have_half_of_the_reserve_and_then_half_of_the_rest() -> None:
    spending = spent(plan(10, "a"), plan(20, "a"), plan(30, "a"))

    assert levels(spending, "a") == pytest.approx([0.045, 0.0025, 0.00125])
    assert spending.left == pytest.approx(0.00125)


def test_a_new_cell_takes_nothing_from_those_before_it() -> None:
    spending = spent(plan(10, "ab"), plan(10, "abc"))

    assert levels(spending, "a") == [pytest.approx(0.0225)]
    assert levels(spending, "c") == [pytest.approx(0.0025)]


def test_dropping_the_losers_leaves_no_more_for_the_others() -> None:
    assert levels(spent(plan(10, "abcd"), plan(20, "a")), "a")[1] == pytest.approx(0.0025 / 4)


def test_a_plan_made_after_a_glance_has_half() -> None:
    spending = spent(plan(2, "ab"), plan(10, "ab"))

    assert levels(spending, "a") == [pytest.approx(0.0225 / 2)]
    assert spending.saw_seeds_first


def test_the_same_plan_again_spends_nothing() -> None:
    assert spent(plan(10, "a"), plan(20, "a"), plan(10, "a")).left == spent(plan(10, "a"), plan(20, "a")).left


def test_other_cells_altogether_are_another_study() -> None:
    other = PlannedLooks("", tuple(range(10)), (10,), ("new base", "x"), ("x",))

    assert levels(spent(plan(10, "a"), other), "x") == [pytest.approx(0.045)]


def test_claims_on_other_metrics_cost_a_fifth() -> None:
    spending = spent(plan(10, "ab", claims=("x",)))

    assert levels(spending, "a") == [pytest.approx(0.045 * 0.8 / 2)]
    assert levels(spending, "x") == [pytest.approx(0.045 * 0.2)]


def test_whatever_is_planned_all_levels_together_stay_below_alpha_and_none_is_ever_changed() -> None:
    draw = random.Random(0)
    for _ in range(300):
        history: list[PlannedLooks] = []
        before: dict[str, list[float]] = {}
        for _ in range(draw.randint(1, 8)):
            start, count = draw.choice([0, 0, 0, 5]), draw.randint(1, 30)
            cells = "".join(draw.sample("abcdefgh", draw.randint(1, 8)))
            schedule = tuple(sorted({count, draw.randint(1, count)}))
            history = plans_after(
                history, plan(range(start, start + count), cells, schedule, ("x",) * draw.randint(0, 1))
            )
            spending = spend(history, ALPHA, min_pairs(ALPHA))
            now = {key: levels(spending, key) for key in spending.looks}
            assert sum(map(sum, now.values())) <= ALPHA + 1e-12
            assert all(now[key][: len(values)] == values for key, values in before.items())
            before = now


def test_words_say_what_is_known_of_the_margin() -> None:
    def words(mean: float) -> str:
        values = [mean + noise for noise in (0.02, -0.02, 0.01, -0.01, 0.0, 0.015, -0.015)]
        sample = PairedSample("cell", np.array(values), tuple(range(7)))
        return judge([sample], margin=0.05, alpha=ALPHA)[0].words

    assert words(0.2) == "helps, by at least the margin"
    assert words(0.06) == "helps, perhaps by less than matters"
    assert words(0.01) == "equivalent"
    assert words(-0.2) == "hurts, by at least the margin"
    assert words(-0.06) == "hurts, perhaps by less than matters"


def test_without_a_level_nothing_is_decided() -> None:
    contrast = contrast_of(
        PairedSample("cell", np.full(8, 0.4), tuple(range(8))), 0.0, margin=0.1, alpha=ALPHA
    )

    assert contrast.verdict == "undecided"
    assert contrast.p_holm == 1.0


# By simulation: the same code on drawn differences. 600 studies tell 5 % from 10 % (standard error 0.9 points).

RUNS = 600
AT_MOST = 0.07


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "error_rates.py"
    spec = importlib.util.spec_from_file_location("error_rates", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["error_rates"] = module
    spec.loader.exec_module(module)
    return module


def test_judging_anew_at_every_count_is_seen_to_err_too_often(simulated: ModuleType) -> None:
    assert simulated.old_way(simulated.Truth((0.0,)), (6, 10, 14, 20), RUNS) > AT_MOST


@pytest.mark.parametrize(
    ("user", "truth"),
    [
        ("6, then 10, 14, 20", "m = 1"),
        ("10 seeds, once", "4, skewed"),
        ("10 seeds, once", "2 at 0, 2 at it"),
        ("10 seeds, once", "just below it"),
        ("2 cells, then one more at a time", "m = 4"),
        ("5 seeds seen, then a favoured plan", "m = 1"),
        ("5 seeds seen, then a favoured plan", "m = 4"),
        ("other seeds, three times", "m = 1"),
    ],
)
def test_whatever_a_user_does_false_words_stay_rare(simulated: ModuleType, user: str, truth: str) -> None:
    wrong, _ = simulated.rates(simulated.NOTHING[truth], simulated.USERS[user], RUNS)

    assert wrong <= AT_MOST


def test_a_plan_judged_once_keeps_its_power(simulated: ModuleType) -> None:
    """A t test at 5 % decides 80 % of effects of one standard deviation with 10 seeds."""
    _, decided = simulated.rates(simulated.Truth((1.0,)), simulated.USERS["10 seeds, once"], RUNS)

    assert decided >= 0.75
