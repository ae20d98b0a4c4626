"""`tune ATTRIBUTE`: the search space of an attribute, its two texts where it is new."""

import argparse
import json

from orchestrator.search.loading import Wish
from orchestrator.space.config import ConfigError, Problem
from trainables.names import wrong_name


def wish_of(options: argparse.Namespace) -> Wish:
    """The search that the options ask for. Raises ConfigError for what cannot be an attribute."""
    return attribute_wish(
        options.what, options.source, options.target, seen=options.seen, space=options.space
    )


def attribute_wish(
    attribute: str,
    source: str | None = None,
    target: str | None = None,
    *,
    seen: bool = False,
    space: str = "tune_editor",
) -> Wish:
    """The search for an attribute's settings; `seen` is whether the diffusion model has seen such images."""
    if wrong := wrong_name(attribute):
        raise ConfigError([Problem("", 0, "ATTRIBUTE", wrong)])
    settings = [f"attribute={json.dumps(attribute)}"]
    if (source is None) != (target is None):
        missing = "--source" if source is None else "--target"
        message = "an edit has two texts, from what and to what; give both or none"
        raise ConfigError([Problem("", 0, missing, message)])
    if source is not None:
        texts = {"source": source, "target": target, "domain": "in" if seen else "unseen"}
        settings.append(f"texts={json.dumps(texts, ensure_ascii=False)}")
    hint = "" if source else "; a new one needs --source and --target"
    words = {"--set attribute": ("ATTRIBUTE", hint), "--set texts": ("--source, --target", "")}
    return Wish(space, attribute, settings=settings, words=words)
