"""What a trial costs to plan, at 1,000 and at 10,000 trials: the ratio says whether planning is linear.

    python benchmarks/planning.py

Loads and checks a space, plans it, writes its study.json, and finds what of it is missing: all that happens before
the first trial of a launch, but for the price. The spaces are products of listed values with 10 seeds.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, describe, missing_tasks, open_study, standing

SPACE = """
question: How long does planning take?
baseline:
  domain: avatars
  attribute: smiling
  editor: {{kind: pixel_channel}}
  training: {{optimizer: {{learning_rate: 5e-4}}}}
axes:
  rate: {{path: training.optimizer.learning_rate, values: [{rates}]}}
  heads: {{path: editor.num_heads, values: [1, 2, 4, 8]}}
  norm: {{path: editor.norm, values: [group, instance, none, layer]}}
design: product
seeds: 10
primary: {{metric: loss_total, margin: 0.1}}
"""
DEFAULT_RATE = 0.0005


def timed(seconds: dict[str, float], name: str, work: Callable[[], object]) -> object:
    """Run and keep how long it took."""
    began = time.process_time()
    result = work()
    seconds[name] = time.process_time() - began
    return result


def plan(num_rates: int, folder: Path) -> tuple[int, dict[str, float]]:
    """Trials planned, and processor seconds by step."""
    rates = [DEFAULT_RATE, *(DEFAULT_RATE * (1 + index / 1000) for index in range(1, num_rates))]
    file = folder / f"planning_{num_rates}.yaml"
    file.write_text(SPACE.format(rates=", ".join(f"{rate:.6g}" for rate in rates)))
    seconds: dict[str, float] = {}
    space = timed(seconds, "load and check", lambda: load_space(file))
    study = timed(seconds, "plan", lambda: open_study(space, folder / "results"))
    assert isinstance(study, Study)
    timed(seconds, "study.json", lambda: describe(study))
    ledger = Ledger(study.ledger_folder)
    timed(seconds, "what is missing", lambda: missing_tasks(study, ledger, standing(study, ledger)))
    return len(study.plan.trials), seconds


def main() -> None:
    """Print both sizes side by side and their ratio per trial."""
    with tempfile.TemporaryDirectory() as name:
        plan(2, Path(name))  # imports, caches
        small, small_seconds = plan(7, Path(name))
        large, large_seconds = plan(63, Path(name))
    print(f"{'ms per trial':20}{small:>10,}{large:>10,}{'ratio':>8}")
    rows = [*small_seconds, "all"]
    small_seconds["all"], large_seconds["all"] = sum(small_seconds.values()), sum(large_seconds.values())
    for row in rows:
        one, other = 1000 * small_seconds[row] / small, 1000 * large_seconds[row] / large
        print(f"{row:20}{one:10.3f}{other:10.3f}{other / one:8.2f}")
    print(f"{large:,} trials planned in {large_seconds['all']:.1f} s")


if __name__ == "__main__":
    main()
