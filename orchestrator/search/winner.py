"""What becomes of a search's winner: a test on fresh seeds, an entry for the attribute, an editor to use."""

import itertools
import shutil
import statistics
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.execution.models import model_path
from orchestrator.ledger import Ledger
from orchestrator.ledger.durable import write_atomically
from orchestrator.ledger.files import writing
from orchestrator.plan.build import resolve_cell
from orchestrator.search.earlier import PREFIX
from orchestrator.search.objectives import search_config
from orchestrator.search.results import Found, Results
from orchestrator.space.config import Space, merge, nested
from orchestrator.space.resolving import value_at
from orchestrator.study.launch import Study
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
    default, tuned = _settings(results.default.config), _settings(winner.candidate.config)
    # Both at the strengths of both, so that there are pictures to put beside each other.
    strengths = sorted({*default["evaluation"]["strengths"], *tuned["evaluation"]["strengths"]})
    default["evaluation"]["strengths"] = tuned["evaluation"]["strengths"] = strengths
    shown = dict.fromkeys(side["evaluation"]["primary_strength"] for side in (default, tuned))
    document = {
        "question": f"Do the settings found for {_attribute(study)} beat the untuned default?",
        "published": {"search": study.space.name},
        "baseline": default,
        "axes": {"settings": {"values": {"default": {}, TUNED: difference(tuned, default)}}},
        "design": "one_factor",
        "seeds": fresh,
        "primary": config.primary.model_dump(mode="json"),
        "figures": [
            {"kind": "effects"},
            *(
                {"kind": "image_grid", "rows": "image", "columns": "settings", "images": 4}
                | {"fixed": {"strength": strength}}
                for strength in shown
            ),
            {"kind": "table"},
        ],
        "execution": config.execution.model_dump(mode="json"),
    }
    head = [
        f"# Written by `asyrp-sweep tune {_attribute(study)}`: the winner of the search",
        f"# {study.space.name} against the untuned default, on seeds that the search never used.",
    ]
    path = retest_file(study)
    _write_text(path, "\n".join(head) + "\n" + write_yaml(document))
    return path


def write_entry(study: Study, winner: Found, verdict: str) -> Path:
    """Write the winner's settings as a `per_attribute` entry, for a domain's YAML or a search space.

    With it, a cell that names only domain, attribute and kind of editor is the winner's.
    """
    config: Any = winner.candidate.config
    entry: dict[str, Any] = {}
    if config.texts is not None:
        entry["texts"] = config.texts.model_dump(mode="json")
    bare = _settings(bare_cell(study.space, config))
    found = difference(_settings(config), bare)
    found["evaluation"] = _searched(study.space, found.get("evaluation", {}), "evaluation")
    entry["per_editor"] = {config.editor.kind: {name: block for name, block in found.items() if block}}
    head = [
        f"# Settings for {config.attribute} with the editor {config.editor.kind}, found by `asyrp-sweep tune`.",
        *textwrap.wrap(verdict, 100, initial_indent="# ", subsequent_indent="# "),
        "# Copy this block into a domain's YAML, or into a search space: both know `per_attribute`.",
    ]
    path = study.folder / f"{config.attribute}.yaml"
    _write_text(path, "\n".join(head) + "\n" + write_yaml({"per_attribute": {config.attribute: entry}}))
    return path


def bare_cell(space: Space, config: Any) -> Settings:
    """The cell that names only domain, attribute and editor, as the domain alone would settle it."""
    baseline: dict[str, Any] = {
        "domain": config.domain,
        "attribute": config.attribute,
        "editor": {"kind": config.editor.kind},
    }
    if config.texts is not None:
        baseline["texts"] = config.texts.model_dump(mode="json")
    bare = type(space.config)(
        question="", baseline=baseline, seeds=space.config.first_seeds[:1], primary=space.config.primary
    )
    return resolve_cell(replace(space, config=bare, settings=()), {})


def keep_editor(study: Study, winner: Found, retest: Study | None) -> Path | None:
    """Copy the winner's editor to where it is easily found: of its test's seeds the median one, else the search's.

    Not the best one: that would be chosen by the numbers it is reported with.
    """
    source = _median_editor(retest) if retest is not None else None
    source = source or model_path(study.folder, winner.candidate.signature)
    if not source.is_file():
        return None
    path = study.folder / f"{_attribute(study)}.safetensors"
    with writing(study.folder):
        write_atomically(path, lambda temporary: _copy(source, temporary))
    return path


def _median_editor(retest: Study) -> Path | None:
    metric = f"metric_{retest.space.config.primary.metric}"
    tuned = {trial.signature for trial in retest.plan.trials if trial.config != _baseline_config(retest)}
    records = [record for record in Ledger(retest.ledger_folder).records() if record["status"] == "done"]
    values = {
        r["signature"]: r[metric] for r in records if r["signature"] in tuned and r.get(metric) is not None
    }
    if not values:
        return None
    middle = statistics.median_low(values.values())
    signature = next(name for name, value in values.items() if value == middle)
    return model_path(retest.folder, signature)


def _baseline_config(study: Study) -> Settings:
    return next(cell.config for cell in study.plan.cells if cell.is_baseline)


def _attribute(study: Study) -> str:
    """What was tuned."""
    return study.space.name.removeprefix(PREFIX)


def difference(changed: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What merged over `base` gives `changed`. An editor of another kind is given whole."""
    found: dict[str, Any] = {}
    for name, value in changed.items():
        below = base.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            is_another_kind = name == "editor" and value.get("kind") != below.get("kind")
            inside = dict(value) if is_another_kind else difference(value, below)
            if inside:
                found[name] = inside
        elif name not in base or value != below:
            found[name] = value
    return found


def _searched(space: Space, settings: Mapping[str, Any], block: str) -> dict[str, Any]:
    """Settings of a block that an axis of the space varies."""
    kept: dict[str, Any] = {}
    for axis in space.config.axes.values():
        overrides = [axis.override(value) for value in axis.names] or [nested(axis.path or "", None)]
        for override in overrides:
            for name in override.get(block, {}):
                if value_at(settings, name) is not None:
                    kept = merge(kept, {name: settings[name]})
    return kept


def _settings(config: Settings) -> dict[str, Any]:
    """A configuration as a space would write it, without what is absent."""
    content: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    content.pop("schema_version")
    return content


def _write_text(path: Path, text: str) -> None:
    with writing(path):
        write_atomically(path, lambda temporary: _put(temporary, text))


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
