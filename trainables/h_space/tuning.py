"""What becomes of the settings that a search found for an attribute."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.exchange import Beyond, Winner
from trainables.h_space.config import CellConfig


def retest(
    default: dict[str, Any], tuned: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], Sequence[Mapping[str, Any]]]:
    """Both on test images and at the strengths of both, so that there are pictures to put beside each other."""
    default["evaluation"]["split"] = tuned["evaluation"]["split"] = "test"
    strengths = sorted({*default["evaluation"]["strengths"], *tuned["evaluation"]["strengths"]})
    default["evaluation"]["strengths"] = tuned["evaluation"]["strengths"] = strengths
    shown = dict.fromkeys(side["evaluation"]["primary_strength"] for side in (default, tuned))
    grid = {"kind": "image_grid", "rows": "image", "columns": "settings", "images": 4}
    return default, tuned, [{**grid, "fixed": {"strength": strength}} for strength in shown]


def winner(config: CellConfig, beyond: Beyond) -> Winner:
    """A `per_attribute` entry, for a domain's YAML or a space.

    With it, a cell that names only domain, attribute and kind of editor is the winner's.
    """
    kind = config.editor.kind
    bare: dict[str, Any] = {"domain": config.domain, "attribute": config.attribute, "editor": {"kind": kind}}
    entry: dict[str, Any] = {}
    if config.texts is not None:
        entry["texts"] = bare["texts"] = config.texts.model_dump(mode="json")
    found = beyond(bare)
    found["evaluation"] = beyond.searched(found.get("evaluation", {}), "evaluation")
    entry["per_editor"] = {kind: {name: block for name, block in found.items() if block}}
    advice = "Copy this block into a domain's YAML, or into a search space: both know `per_attribute`."
    return Winner({"per_attribute": {config.attribute: entry}}, advice)
