"""A launch where little is as usual, on a Ray of its own: one CPU of several, a long TMPDIR, no HOME, inside a job."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.ray.scratch import MAX_LENGTH

FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")
PROGRAM = """
import json, os, sys
from pathlib import Path
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from orchestrator.execution.tasks import TrialTask, WorkerSettings
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.ray.ready import ray
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.worker import import_class

@ray.remote
def look():
    import analysis
    return {"niceness": os.nice(0), "variable": os.environ.get("OF_THE_JOB"), "analysis": analysis.__file__}

class Observer:
    def __init__(self): self.ended = {}
    def on_started(self, signature): pass
    def on_epoch(self, signature, metrics, host): pass
    def keep(self, records): pass
    def on_finished(self, record): self.ended[record["signature"]] = record["status"]

top, trials = Path(sys.argv[1]), Path(sys.argv[2])
config = {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "conv"}}
settings = WorkerSettings(top / "study", top / "cache", "fake_trials:FakeTrial")
observer = Observer()
with RayBackend(settings, RayOptions(extra_modules=(trials,))) as backend:
    seen = ray.get(look.remote())
    backend.run(TrialQueue([TrialTask(name, 1, name, 0, {}, config, None, 2) for name in "ab"]), observer)
    seen |= {"described": backend.describe(), "folder": str(backend._folder), "ended": observer.ended}
from ray._raylet import AuthenticationMode, get_authentication_mode
auth = [name for name in os.environ if name.startswith("RAY_AUTH")]
seen |= {"auth": auth, "has_token_mode": get_authentication_mode() != AuthenticationMode.DISABLED}
print(json.dumps(seen | {"is_left": Path(seen["folder"]).exists()}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What such a launch saw of its workers."""
    top = tmp_path_factory.mktemp("where")
    job, long = top / "job", top / ("long" * 30)
    for folder in (job / "analysis", long, top / "study", top / "cache"):
        folder.mkdir(parents=True)
    (job / "analysis" / "__init__.py").write_text("raise RuntimeError('the user has an analysis/, too')")
    of_the_job = {
        "working_dir": str(job),
        "env_vars": {"OF_THE_JOB": "kept", "RAY_CHDIR_TO_TRIAL_DIR": "1"},
    }
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TMPDIR": str(long),
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": of_the_job, "metadata": {}}),
    }
    command = [sys.executable, "-c", PROGRAM, str(top), str(FAKE_TRIALS)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=top)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_trials_are_done(seen: dict[str, Any]) -> None:
    assert seen["ended"] == {"a": "done", "b": "done"}


def test_ray_takes_no_more_cpus_than_the_launch_may_use(seen: dict[str, Any]) -> None:
    assert "1 nodes, 1 CPUs" in seen["described"]


def test_a_long_tmpdir_leaves_rays_sockets_a_short_path(seen: dict[str, Any]) -> None:
    assert len(seen["folder"]) <= MAX_LENGTH
    assert not seen["is_left"]


def test_inside_a_job_of_ray_our_code_and_the_jobs_variables_reach_the_workers(seen: dict[str, Any]) -> None:
    assert seen["variable"] == "kept"
    assert "/working_dir_files/" in seen["analysis"]


def test_workers_have_the_usual_priority(seen: dict[str, Any]) -> None:
    assert seen["niceness"] == os.nice(0)


def test_the_token_of_a_launch_is_forgotten_after_it(seen: dict[str, Any]) -> None:
    assert seen["auth"] == []
    assert not seen["has_token_mode"]
