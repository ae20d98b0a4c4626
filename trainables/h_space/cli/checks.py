"""What `doctor` looks at for h-spaces."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from orchestrator.cli.disk_probe import Finding, Level, installed
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError
from orchestrator.space.extending import sources_of
from trainables.family import Family
from trainables.h_space.domains import DomainError, DomainSummary, domain_summary, shipped_domains
from trainables.h_space.domains.files import read_domain_source
from trainables.h_space.domains.networks import parts_of
from trainables.h_space.editors import EDITORS
from trainables.h_space.family import FAMILY
from trainables.wording import expected
from trainables.yaml_tree import write_yaml


def packages() -> Iterator[Finding]:
    """The libraries that models are read with."""
    yield from map(installed, ("diffusers", "open_clip_torch"))


def domains() -> Iterator[Finding]:
    """The files of every domain of the package."""
    for name in shipped_domains():
        try:
            domain_summary(name)
            yield Finding(f"domain {name}", "ok", "its files are there")
        except DomainError as error:
            level: Level = "FIX" if name == "avatars" else "ok"  # Others need files of the user's.
            yield Finding(f"domain {name}", level, f"not set up: {error}", "reinstall asyrp-sweep")


def parts_of_domain(options: argparse.Namespace) -> Iterator[Finding]:
    """Every file of the domain that was asked about. Raises DomainError where there is none."""
    if options.domain is None:
        if options.try_it:
            raise DomainError("--try: of which domain? Name it with --domain")
        return
    source = read_domain_source(options.domain)
    for part in parts_of(source):
        level: Level = "ok" if part.is_there else "FIX" if part.is_named else "note"
        found = f"{part.found}; enables {part.enables}"
        yield Finding(f"{source.domain.name} {part.key}", level, found, part.advice)
    name = source.domain.name
    try:
        summary = domain_summary(options.domain)
        yield from settings_of_domain(summary, options.domain, FAMILY)
        if options.try_it:
            yield from _tried(summary, options.domain)
    except DomainError as error:
        yield Finding(f"domain {name}", "FIX", "cannot be used yet", str(error))


def settings_of_domain(summary: DomainSummary, domain: str, family: Family) -> Iterator[Finding]:
    """What a plan would say of the settings in a domain's file, for every attribute and the editors that it speaks of.

    `domain` is its name, or the path of its file.
    """
    what, offered = f"{summary.name} settings", summary.attributes
    of_kinds = [summary.per_editor, *(own.get("per_editor", {}) for own in summary.per_attribute.values())]
    kinds = dict.fromkeys(["conv", *(kind for one in of_kinds for kind in one)])
    yield from (
        Finding(
            what, "note", expected("a kind of editor", kind, EDITORS), f"per_editor: {kind} has no effect"
        )
        for kind in kinds
        if kind not in EDITORS
    )
    axes = {
        "attribute": {"path": "attribute", "values": list(offered)},
        "editor": {"path": "editor.kind", "values": [kind for kind in kinds if kind in EDITORS]},
    }
    axes = {name: axis for name, axis in axes.items() if len(axis["values"]) > 1}
    baseline = {"domain": domain, "attribute": offered[0], "editor": {"kind": "conv"}}
    space = {"question": "", "baseline": baseline, "axes": axes, "design": "product", "seeds": 1}
    text = write_yaml({**space, "primary": {"metric": "loss_total", "margin": 1.0}})
    try:
        load_space(sources_of("doctor", text, Path.cwd()), family=family)
    except ConfigError as error:
        yield from (Finding(what, "FIX", str(problem)) for problem in error.problems)
    else:
        yield Finding(what, "ok", f"of {len(offered)} attributes and {len(kinds)} editors")


def _tried(summary: DomainSummary, domain: str) -> Iterator[Finding]:
    """What the diffusion model itself says of a scaling factor."""
    what = f"{summary.name} latents"
    if summary.latents is None:
        yield Finding(what, "ok", "none: the diffusion model works on pixels")
        return
    from trainables.h_space.domains.loading import load_domain  # torch and the models
    from trainables.h_space.latents_check import ADVICE, measure_scaling

    found = measure_scaling(load_domain(domain))
    yield Finding(what, "ok", str(found)) if found.is_right else Finding(what, "FIX", str(found), ADVICE)
