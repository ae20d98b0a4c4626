"""`--max-cost`: refuses a plan that takes longer than it may, and says how much of it would fit."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.space.config import ConfigError, wrong_input
from orchestrator.study.planning import PlanView
from orchestrator.study.price.pricing import Price, about
from orchestrator.study.price.quoting import Quote

OPTION = "--max-cost"


def check_cost(view: PlanView, quote: Quote, text: str, seconds: float) -> None:
    """Raise ConfigError when the plan costs more than `seconds`, which the user wrote as `text`.

    Where seeds are added while they are needed, what it costs at most counts.
    """
    costs = "the plan costs" if view.most is None else "the plan costs up to"
    keep_limit(view.highest, text, seconds, costs, lambda: _what_fits(view, quote, seconds))


def keep_limit(
    price: Price | None, text: str, seconds: float, costs: str, what_fits: Callable[[], str]
) -> None:
    """Raise ConfigError when a price is above `seconds`, which the user wrote as `text`.

    What counts is the upper end of the time it takes, for a limit is a promise: by the median, every second plan that
    passes would break it. What has no known price is refused as well.
    """
    if price is None:
        return
    if price.seconds is None:
        advice = f"leave {OPTION} out to start without a limit, or let a trial finish first"
        raise _refused(text, f"unknown: {price.unknown}. A limit cannot be kept; {advice}")
    if price.seconds.high > seconds:
        raise _refused(text, f"{costs} {about(price)}; {what_fits()}")


def _what_fits(view: PlanView, quote: Quote, seconds: float) -> str:
    """The most seeds of every cell that the limit allows."""
    plan = view.study.plan
    seeds = list(dict.fromkeys(trial.seed for trial in plan.trials))
    done = view.now.done | view.hits.keys()
    price: Price | None
    for count in range(len(seeds), 0, -1):
        kept = set(seeds[:count])
        part = replace(plan, trials=tuple(trial for trial in plan.trials if trial.seed in kept))
        price = quote.of(part, done)
        if price is None or (price.seconds is not None and price.seconds.high <= seconds):
            option = str(count) if kept == set(range(count)) else ",".join(map(str, seeds[:count]))
            takes = "nothing" if price is None else about(price)
            return f"--seeds {option} would fit ({takes})"
    shown = "" if price is None or price.seconds is None else f", which takes {about(price)}"
    return f"not even one seed of every cell fits{shown}"


def _refused(text: str, message: str) -> ConfigError:
    """The error of a limit, written as `text`, that is not kept."""
    return wrong_input(f"{OPTION} {text}", message)


def check_options(max_cost: tuple[str, float] | None, has_price: bool) -> None:
    """Refuse a limit without the price that it is compared with."""
    if max_cost is not None and not has_price:
        raise _refused(max_cost[0], "a limit needs the price that --no-price leaves out; give one of the two")
