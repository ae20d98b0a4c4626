"""What other programs' own readers find in what was written for them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def by_its_own_reader(program: str, *arguments: Path) -> Any:
    """What a program prints as JSON, in a process of its own: readers leave warnings, threads and state behind."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


READ_RUNS = """
import json, struct, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7  # the log format of LevelDB, after a header of its own

def records(data):
    place, held = HEADER, b""
    while place + HEADER <= len(data):
        room = BLOCK - place % BLOCK
        if room < HEADER:
            place += room
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)
        place += HEADER + size
        held += data[place - size : place]
        if kind in (1, 4):  # whole, or the last of its pieces
            yield Record.FromString(held)
            held = b""

def items(entries):
    return {entry.key or "/".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}

runs = {}
for path in Path(sys.argv[1]).glob("offline-run-*/run-*.wandb"):
    found = {"history": [], "summary": {}, "files": []}
    for record in records(path.read_bytes()):
        match record.WhichOneof("record_type"):
            case "run":
                found |= {"group": record.run.run_group, "project": record.run.project}
                found |= {"config": items(record.run.config.update), "tags": list(record.run.tags)}
                name = record.run.display_name
            case "history":
                found["history"].append(items(record.history.item))
            case "summary":
                found["summary"] |= items(record.summary.update)
            case "exit":
                found["exit"] = record.exit.exit_code
    found["files"] = [file.name for file in (path.parent / "files").rglob("*.png")]
    runs[name] = found
print(json.dumps(runs))
"""


def read_runs(folder: Path) -> dict[str, Any]:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'asyrp-sweep[wandb]'")
    found: dict[str, Any] = by_its_own_reader(READ_RUNS, folder)
    return found
