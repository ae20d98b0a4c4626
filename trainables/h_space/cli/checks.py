"""What `doctor` looks at for h-spaces."""

from collections.abc import Iterator

from orchestrator.cli.disk_probe import Finding, Level, installed
from trainables.h_space.domains import DomainError, domain_summary, shipped_domains


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
