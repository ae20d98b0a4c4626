"""What `doctor` looks at for h-spaces."""

import argparse
from collections.abc import Iterator

from orchestrator.cli.disk_probe import Finding, Level, installed
from trainables.h_space.domains import DomainError, domain_summary, shipped_domains
from trainables.h_space.domains.files import read_domain_source
from trainables.h_space.domains.networks import parts_of


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
    """Every file of the domain that was asked about. Raises DomainError where there is no such domain."""
    if options.domain is None:
        return
    source = read_domain_source(options.domain)
    for part in parts_of(source):
        level: Level = "ok" if part.is_there else "FIX" if part.is_named else "note"
        found = f"{part.found}; enables {part.enables}"
        yield Finding(f"{source.domain.name} {part.key}", level, found, part.advice)
    try:
        domain_summary(options.domain)
    except DomainError as error:
        yield Finding(f"domain {source.domain.name}", "FIX", "cannot be used yet", str(error))
