"""What lm-evaluation-harness leaves in a folder per model: `results_<date>.json` and `samples_<task>_<date>.jsonl`.

Samples have a row per document and filter and do not say which model or seed they are of: the results beside them do.
Layout as of its release 0.4.13 (`loggers/evaluation_tracker.py`, `evaluator.py`).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAMPLES, RESULTS = "samples_", "results_"
SEEDS = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
_SAMPLES_NAME = re.compile(rf"{SAMPLES}(?P<task>.+)_(?P<date>\d{{4}}-\d\d-\d\dT[\d.-]+)")


def run_of_samples(path: Path) -> dict[str, Any]:
    """`model`, `task` and the seeds of a file of samples, as far as its name and the results beside it tell."""
    named = _SAMPLES_NAME.fullmatch(path.stem)
    if named is None:
        return {}
    told = {"model": path.absolute().parent.name, "task": named["task"]}
    try:
        content = json.loads(path.with_name(f"{RESULTS}{named['date']}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return told
    return told | (_run(content) if isinstance(content, Mapping) else {})


def rows_of_results(content: Any) -> list[dict[str, Any]] | None:
    """A row per task of a file of results; None where it is another kind of file.

    A metric is called as there, `acc,none`, and by its name alone, `acc`, where no other filter has it.
    """
    results = content.get("results") if isinstance(content, Mapping) else None
    if not isinstance(results, Mapping) or not all(isinstance(own, Mapping) for own in results.values()):
        return None
    return [_run(content) | {"task": task} | _short(own) | dict(own) for task, own in results.items()]


def _run(content: Mapping[str, Any]) -> dict[str, Any]:
    config = content.get("config")
    config = config if isinstance(config, Mapping) else {}
    model = content.get("model_name") or config.get("model_args")
    found = {"model": model} | {name: config.get(name) for name in SEEDS}
    return {name: value for name, value in found.items() if value is not None}


def _short(own: Mapping[str, Any]) -> dict[str, Any]:
    names = [name.partition(",")[0] for name in own]
    return {name.partition(",")[0]: own[name] for name in own if names.count(name.partition(",")[0]) == 1}
