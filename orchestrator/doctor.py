"""What `doctor` looks at: whether this machine can run a study, and what to fix where it cannot."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.backend import BackendError, WorkerSettings
from orchestrator.ledger.durable import write_atomically
from orchestrator.provenance import versions

LOW_SPACE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    is_fine: bool
    found: str
    fix: str = ""


def examine(results: Path, address: str | None) -> Iterator[Finding]:
    """Look at everything that a launch needs, quickest first."""
    yield from _packages()
    yield _processors()
    yield _gpu()
    yield _storage(results.absolute())
    yield from _domains()
    if address is not None:
        yield _cluster(address)


def show(findings: Iterator[Finding], console: Console) -> int:
    """Print the findings and what to fix; 1 when there is anything, else 0."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("")
    wrong = []
    for finding in findings:
        mark = Text("ok", style="green") if finding.is_fine else Text("FIX", style="red")
        table.add_row(mark, finding.name, Text(finding.found))
        wrong += [] if finding.is_fine else [finding]
    console.print(table)
    for finding in wrong:
        console.print(Text(f"{finding.name}: {finding.fix}"))
    return 1 if wrong else 0


def _packages() -> Iterator[Finding]:
    found = versions()
    for package in ("python", "torch", "diffusers", "open_clip_torch", "ray"):
        fix = f"pip install {package}" if package not in found else ""
        yield Finding(package, package in found, found.get(package, "not installed"), fix)


def _processors() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("processors", True, f"{count} CPUs: as many trials at a time with 1 CPU each")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding("GPU", True, ", ".join(names))
    if torch.version.cuda is None:
        return Finding("GPU", True, "none: this torch is built for CPUs; the built-in domain needs no more")
    return Finding("GPU", True, "none that torch can use; the built-in domain needs none")


def _storage(results: Path) -> Finding:
    probe = results / ".doctor"
    try:
        write_atomically(probe, Path.touch)
        probe.unlink()
    except OSError as error:
        return Finding(
            "storage", False, f"{results}: {error}", "choose a folder you may write with --results"
        )
    free = shutil.disk_usage(results).free / 1e9
    fix = f"free some space on the disk of {results}, or choose another folder with --results"
    return Finding("storage", free > LOW_SPACE_GB, f"{results} can be written, {free:.0f} GB free", fix)


def _domains() -> Iterator[Finding]:
    from trainables.domains import DomainError, domain_summary, shipped_domains

    for name in shipped_domains():
        try:
            domain_summary(name)
            yield Finding(f"domain {name}", True, "its files are there")
        except DomainError as error:
            built_in = name == "avatars"
            yield Finding(f"domain {name}", not built_in, f"not set up: {error}", "reinstall asyrp-sweep")


def _cluster(address: str) -> Finding:
    from orchestrator.ray_backend import RayBackend, RayOptions

    try:
        with RayBackend(WorkerSettings(Path(), Path()), RayOptions(address)) as backend:
            return Finding("Ray cluster", True, backend.describe())
    except BackendError as error:
        return Finding("Ray cluster", False, f"{address}: not reachable", str(error))
