"""What becomes of a search's winner: a test on fresh seeds, its settings in a file, a model to use."""

import itertools
import shutil
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.execution.models import model_path
from orchestrator.ledger import Ledger
from orchestrator.ledger.durable import write_atomically, write_text_atomically
from orchestrator.ledger.files import writing
from orchestrator.plan.cells import resolve_cell
from orchestrator.search.objectives import search_config
from orchestrator.search.results import PREFIX, Found, Results
from orchestrator.space.config import Space
from orchestrator.study.launch import Study
from trainables.families import DEFAULT_FAMILY
from trainables.paths import absolute_path
from trainables.settings import Settings
from trainables.yaml_tree import write_yaml

TUNED = "tuned"
"""Name of the winner's cell in its test; `default` is the other one."""


def retest_file(study: Study) -> Path:
    """Where the space of the winner's test is written; `asyrp-sweep run` takes it too."""
    return study.folder / f"{study.space.name}_retest.yaml"


def retest_folder(study: Study) -> Path:
    """The folder of that space's study."""
    return study.folder.parent / retest_file(study).stem


def write_retest(study: Study, results: Results, winner: Found) -> Path:
    """Write the space that compares the winner with the untuned default on seeds the search never used."""
    config = study.space.config
    used = {int(record["seed"]) for record in Ledger(study.ledger_folder).records()}
    unused = (seed for seed in itertools.count() if seed not in used)
    fresh = list(itertools.islice(unused, search_config(config).retest.seeds))
    default, tuned, figures = study.space.family.retest(
        *(_settings(resolve_cell(study.space, one.axis_values)) for one in (results.default, winner))
    )
    document = {
        **_family(study),
        "question": f"Do the settings found for {tuned_name(study)} beat the untuned default?",
        "published": {"search": study.space.name},
        "baseline": default,
        "axes": {"settings": {"values": {"default": {}, TUNED: difference(tuned, default)}}},
        "design": "one_factor",
        "seeds": fresh,
        "primary": config.primary.model_dump(mode="json"),
        "figures": [{"kind": "effects"}, *figures, {"kind": "table"}],
        "execution": config.execution.model_dump(mode="json"),
    }
    head = (
        f"# Written by `asyrp-sweep tune {tuned_name(study)}`: the winner of the search\n"
        f"# {study.space.name} against the untuned default, on seeds that the search never used.\n"
    )
    path = retest_file(study)
    _write_text(path, head + write_yaml(document))
    return path


def write_settings(study: Study, winner: Found, verdicts: Sequence[str]) -> Path:
    """Write the winner's settings, as a family puts them, or as a baseline for a space."""
    config = resolve_cell(study.space, winner.axis_values)
    found = study.space.family.winner(config, _Beyond(study.space, config))
    head = [
        f"# Settings for {tuned_name(study)}, found by `asyrp-sweep tune`.",
        *(line for said in verdicts for line in textwrap.wrap(f"# {said}", 100, subsequent_indent="#   ")),
        f"# {found.advice}",
    ]
    path = study.folder / f"{tuned_name(study)}.yaml"
    _write_text(path, "\n".join(head) + "\n" + write_yaml(found.content))
    return path


class _Beyond:
    """What of a configuration a space with some baseline alone would not give; see `Family.winner`."""

    def __init__(self, space: Space, config: Settings) -> None:
        self._space, self._config = space, config

    def __call__(self, baseline: Mapping[str, Any]) -> dict[str, Any]:
        bare = type(self._space.config)(
            question="",
            baseline=dict(baseline),
            seeds=self._space.config.first_seeds[:1],
            primary=self._space.config.primary,
        )
        alone = resolve_cell(replace(self._space, config=bare, settings=()), {})
        return difference(_settings(self._config), _settings(alone))

    def searched(self, settings: Mapping[str, Any], block: str) -> dict[str, Any]:
        """Settings of a block that an axis of the space varies."""
        axes = self._space.config.axes.values()
        overrides = [axis.override(value) for axis in axes for value in axis.names or (0,)]
        varied = dict.fromkeys(name for override in overrides for name in override.get(block, {}))
        return {name: settings[name] for name in varied if settings.get(name) is not None}


def keep_model(study: Study, winner: Found, retest: Study | None) -> Path | None:
    """Copy the winner's model to where it is easily found: of its test's seeds the median one, else the search's.

    Not the best one: that would be chosen by the numbers it is reported with.
    """
    source = _median_model(retest) if retest is not None else None
    source = source or model_path(study.folder, winner.signature)
    if not source.is_file():
        return None
    path = study.folder / f"{tuned_name(study)}.safetensors"
    with writing(study.folder):
        write_atomically(path, lambda temporary: shutil.copyfile(source, temporary))
    return path


def _median_model(retest: Study) -> Path | None:
    metric = f"metric_{retest.space.config.primary.metric}"
    baseline = next(cell.config for cell in retest.plan.cells if cell.is_baseline)
    tuned = {trial.signature for trial in retest.plan.trials if trial.config != baseline}
    values = {
        record["signature"]: record[metric]
        for record in Ledger(retest.ledger_folder).records()
        if record["status"] == "done" and record["signature"] in tuned and record.get(metric) is not None
    }
    if not values:
        return None
    middle = statistics.median_low(values.values())
    return model_path(retest.folder, next(name for name, value in values.items() if value == middle))


def tuned_name(study: Study) -> str:
    """What was tuned."""
    return study.space.name.removeprefix(PREFIX)


def difference(changed: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What merged over `base` gives `changed`. What is of another `kind` is given whole."""
    found: dict[str, Any] = {}
    for name, value in changed.items():
        below = base.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            is_another_kind = value.get("kind") != below.get("kind")
            inside = dict(value) if is_another_kind else difference(value, below)
            if inside:
                found[name] = inside
        elif name not in base or value != below:
            found[name] = value
    return found


def _settings(config: Settings) -> dict[str, Any]:
    """A configuration as a space would write it, without what is absent."""
    content: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    content.pop("schema_version", None)
    return content


def _family(study: Study) -> dict[str, Any]:
    """The family and the plugins of a search's space, for a space beside it; their files by absolute paths."""
    config, folder = study.space.config, study.space.folder
    family, *plugins = (
        absolute_path(named, folder) if named.endswith(".py") else named
        for named in (config.family, *config.plugins)
    )
    written: dict[str, Any] = {} if family == DEFAULT_FAMILY else {"family": family}
    return written | ({"plugins": plugins} if plugins else {})


def _write_text(path: Path, text: str) -> None:
    with writing(path):
        write_text_atomically(path, text)
