"""The commands `submit`, `cancel` and `logs`, with schedulers that are small programs of the test."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from object_server import BUCKET, needs_server

from orchestrator.cli import parser as cli
from orchestrator.cli import submit
from orchestrator.cli.submit import read_from
from orchestrator.ledger import LedgerLock
from orchestrator.ledger.copies import SCRATCH
from orchestrator.study.price.quoting import Quote
from orchestrator.submission.record import submissions
from orchestrator.views.progress import Progress
from orchestrator.views.running_file import RunningFile

SPACE = """
question: Does the width matter?
family: command
baseline: {command: "{python} train.py {width} {seed}", settings: {width: 1}, metrics: {accuracy: higher is better}}
axes: {width: {path: settings.width, values: [1, 2]}}
seeds: 2
primary: {metric: accuracy, margin: 0.1}
"""
SITE = "on: kuberay\nkuberay: {image: registry/sweep:1, claim: results, gpus_per_node: 2, nodes: 3}\n"

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in a folder with a space, where no scheduler is; its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("ASYRP_SWEEP_SITE", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "widths.yaml").write_text(SPACE)
    (tmp_path / "train.py").write_text("")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def program(name: str, text: str) -> None:
    """Put a program of bash on the PATH."""
    file = Path("bin", name)
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def slurm(command: Command) -> None:
    """A Slurm that keeps jobs in files: what is in `queue` waits or runs."""
    program("sinfo", "echo 'main*|2|1:00:00'; echo 'long|1|2-00:00:00'")
    program("sbatch", "echo \"$@\" >> submitted; echo '7|RUNNING|None' > queue; echo 7")
    program("squeue", '[ ! -s queue ] || echo "$(<queue)"')
    program("scancel", "echo ${@: -1} > cancelled; : > queue")


def submitted(*options: str) -> tuple[str, ...]:
    return ("submit", "widths.yaml", "--on", "slurm", *options)


@pytest.mark.usefixtures("slurm")
class TestSlurm:
    def test_a_job_is_written_submitted_and_recorded(self, command: Command) -> None:
        code, out, err = command(*submitted("--nodes", "2", "--time", "90s", "--seeds", "3"))

        assert (code, err) == (0, "")
        assert "Submitted as job 7 of slurm" in out
        script = Path("results/widths/submissions/001.sh")
        text = script.read_text()
        assert Path("submitted").read_text().strip() == f"--parsable {script.absolute()}"
        assert "#SBATCH --nodes=2\n" in text
        assert "#SBATCH --time=2\n" in text  # whole minutes, at least as long
        assert (
            f"run {Path('widths.yaml').absolute()} --results {Path('results').absolute()} --seeds 3 --yes"
            in text
        )
        (record,) = submissions(Path("results/widths"))
        assert (record.on, record.job) == ("slurm", "7")
        subprocess.run(["/bin/bash", "-n", script], check=True)

    def test_status_tells_how_the_job_stands_before_any_trial_has_begun(self, command: Command) -> None:
        command(*submitted())

        code, out, _ = command("status", "widths")

        assert code == 0
        assert "4 waiting" in out
        assert "as job 7 of slurm: RUNNING" in out

    def test_a_study_that_has_a_job_is_refused_until_the_job_is_gone(self, command: Command) -> None:
        command(*submitted())

        code, _, err = command(*submitted())
        assert code == 2
        assert "job 7 of slurm is RUNNING. Nothing was submitted" in err

        Path("queue").unlink()
        assert command(*submitted())[0] == 0
        assert len(Path("submitted").read_text().splitlines()) == 2

    def test_a_study_that_a_terminal_works_on_is_refused(self, command: Command) -> None:
        command(*submitted())
        Path("queue").unlink()
        with RunningFile(Path("results/widths")).beating(Progress.of([], set())):
            code, _, err = command(*submitted())

        assert code == 2
        assert f"process {os.getpid()} on" in err
        assert len(Path("submitted").read_text().splitlines()) == 1

    def test_two_at_the_same_moment_submit_once(self, command: Command) -> None:
        with LedgerLock(Path("results/widths/ledger")):
            code, _, err = command(*submitted())

        assert code == 2
        assert "another launch" in err
        assert not Path("submitted").exists()

    def test_a_dry_run_writes_and_checks_and_submits_nothing(self, command: Command) -> None:
        code, out, _ = command(*submitted("--dry-run"))

        assert code == 0
        assert f"Written, not submitted: {Path('results/widths/submissions/001.sh').absolute()}" in out
        assert not Path("submitted").exists()
        assert submissions(Path("results/widths")) == []

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (
                ["--partition", "lnog"],
                "--partition: expected a partition of this cluster (main, long); found lnog; did",
            ),
            (["--nodes", "3"], "--nodes: partition main has 2; found 3"),
            (["--time", "2h"], "--time: partition main allows at most 60 min; found 2h"),
            (["--time", "soon"], "--time: expected a time such as"),
            (["--shards", "2", "--on", "ray-job"], "--shards: ray-job has no arrays of jobs"),
        ],
    )
    def test_what_the_cluster_does_not_have_is_one_message(
        self, command: Command, options: list[str], said: str
    ) -> None:
        code, _, err = command(*submitted(*options))

        assert code == 2
        assert said in err
        assert not Path("submitted").exists()
        assert not Path("results").exists()

    def test_a_time_in_which_no_trial_gets_anywhere_is_refused(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Quote, "seconds_to_checkpoint", lambda quote, config: 100.0)

        code, _, err = command(*submitted("--time", "90s"))

        assert code == 2
        assert "--time 90s: baseline takes about 2 min to its first checkpoint" in err
        assert not Path("submitted").exists()
        assert command(*submitted("--time", "3min"))[0] == 0

    def test_what_sbatch_refuses_is_told_in_its_words(self, command: Command) -> None:
        program("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")

        code, _, err = command(*submitted())

        assert code == 2
        assert err.strip() == "nothing was submitted: sbatch: error: Invalid account"
        assert submissions(Path("results/widths")) == []

    def test_cancel_ends_the_job(self, command: Command) -> None:
        command(*submitted())

        assert command("cancel", "widths")[1].startswith("Cancelled: job 7 of slurm.")
        assert Path("cancelled").read_text().strip() == "7"
        assert "No launch works on" in command("cancel", "widths")[1]

    def test_logs_print_what_the_job_has_printed(self, command: Command) -> None:
        command(*submitted())
        assert "has printed nothing yet" in command("logs", "widths")[1]

        Path("results/widths/submissions/001.log").write_text("[1/4] done\n")

        assert command("logs", "widths")[1] == "[1/4] done\n"

    def test_an_array_of_shards_is_one_job_to_its_user(self, command: Command) -> None:
        assert command(*submitted("--shards", "2"))[0] == 0
        folder = Path("results/widths/submissions")
        text = (folder / "001.sh").read_text()
        assert "#SBATCH --array=1-2\n" in text
        assert f"#SBATCH --output={folder.absolute()}/001-%a.log\n" in text
        assert ' --yes --shard "$SLURM_ARRAY_TASK_ID/2")\n' in text
        subprocess.run(["/bin/bash", "-n", folder / "001.sh"], check=True)

        Path("queue").write_text("7|RUNNING|None\n7|PENDING|Priority\n8|RUNNING|None\n")
        assert "as job 7 of slurm: RUNNING, PENDING (Priority)" in command("status", "widths")[1]
        for number in (1, 2):
            (folder / f"001-{number}.log").write_text(f"of {number}\n")
        assert command("logs", "widths")[1] == "shard 1/2:\nof 1\nshard 2/2:\nof 2\n"
        assert command("cancel", "widths")[1].startswith("Cancelled: job 7 of slurm.")
        assert Path("cancelled").read_text().strip() == "7"

    def test_a_search_is_submitted_as_a_plan_is(self, command: Command) -> None:
        Path("widths.yaml").write_text(
            SPACE.replace("seeds: 2", "seeds: 1\ndesign: {kind: optuna, trials: 5}")
        )
        code, _, err = command(*submitted("--seeds", "3"))
        assert (code, "--seeds: a search takes no such option" in err) == (2, True)

        code, out, err = command(*submitted())

        assert (code, err) == (0, "")
        assert "5 trials in all" in out
        script = Path("results/tune_widths/submissions/001.sh").read_text()
        assert f"tune {Path('widths.yaml').absolute()} --results {Path('results').absolute()})\n" in script
        assert "as job 7 of slurm: RUNNING" in command("status", "tune_widths")[1]
        assert "job 7 of slurm is RUNNING. Nothing was submitted" in command(*submitted())[2]
        assert command("cancel", "tune_widths")[1].startswith("Cancelled: job 7 of slurm.")

    def test_a_site_says_what_the_command_line_does_not(self, command: Command, tmp_path: Path) -> None:
        own = tmp_path / ".config/asyrp-sweep/site.yaml"
        own.parent.mkdir(parents=True)
        own.write_text(
            "on: slurm\n"
            "slurm: {partition: long, account: lab, setup: [module load cuda], container: apptainer exec x}\n"
        )

        command("submit", "widths.yaml", "--account", "other")

        text = Path("results/widths/submissions/001.sh").read_text()
        assert "#SBATCH --partition=long\n#SBATCH --account=other\n" in text
        assert "\nmodule load cuda\nPYTHON=(apptainer exec x " in text


def test_without_slurm_nothing_is_submitted_and_a_dry_run_says_what_was_not_checked(command: Command) -> None:
    code, _, err = command(*submitted())
    assert code == 2
    assert "nothing was submitted: there is no sbatch on this machine" in err

    code, out, _ = command(*submitted("--dry-run"))
    assert code == 0
    assert "note: there is no sinfo on this machine" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slurm: {partiton: gpu}", "site.yaml:1  slurm.partiton: "),
        ("slurm:\n  nodes: 0", "site.yaml:2  slurm.nodes: "),
        ("on: pbs", "site.yaml:1  on: "),
        ("[]", "site.yaml:1  expected a mapping"),
    ],
)
def test_a_site_with_a_mistake_is_one_message_with_its_line(command: Command, text: str, said: str) -> None:
    Path("site.yaml").write_text(text)

    code, _, err = command(*submitted("--site", "site.yaml"))

    assert code == 2
    assert said in err


@needs_server
@pytest.mark.usefixtures("server", "slurm")
def test_a_study_in_a_store_is_submitted_here_and_known_everywhere(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_store = ("--results", f"s3://{BUCKET}/results")

    code, out, err = command(*submitted(*of_store, "--time", "90s"))

    assert (code, err) == (0, "")
    assert f"asyrp-sweep status widths --results s3://{BUCKET}/results" in out
    script = Path(Path("submitted").read_text().split()[-1])
    assert f"run {Path('widths.yaml').absolute()} --results s3://{BUCKET}/results --yes" in script.read_text()

    monkeypatch.setenv(SCRATCH, str(tmp_path / "another_machine"))
    assert "as job 7 of slurm: RUNNING" in command("status", "widths", *of_store)[1]
    assert "job 7 of slurm is RUNNING. Nothing was submitted" in command(*submitted(*of_store))[2]
    assert f"its log is {script.with_suffix('.log')} where it was" in command("logs", "widths", *of_store)[1]
    assert command("cancel", "widths", *of_store)[1].startswith("Cancelled: job 7 of slurm.")
    assert command(*submitted(*of_store))[0] == 0


@pytest.mark.usefixtures("slurm")
def test_status_asks_once_for_all_studies_and_names_a_record_that_it_cannot_read(command: Command) -> None:
    program("squeue", "echo asked >> asked; echo '7|RUNNING|None'")
    command(*submitted())
    Path("widths.yaml").rename("others.yaml")
    command("submit", "others.yaml", "--on", "slurm")
    Path("third.yaml").write_text(SPACE)
    command("submit", "third.yaml", "--on", "slurm")
    broken = Path("results/third/submissions/001.json")
    broken.write_text("{")
    Path("asked").unlink(missing_ok=True)

    code, out, err = command("status")

    assert (code, err) == (0, "")
    assert out.count("as job 7 of slurm: RUNNING") == 2
    assert f"third: {broken.absolute()} is no record of a submission" in out.replace("\n", " ")
    assert Path("asked").read_text().split() == ["asked"]


def test_nowhere_to_go_is_one_message(command: Command) -> None:
    code, _, err = command("submit", "widths.yaml")

    assert code == 2
    assert "--on: expected slurm, ray-job or kuberay" in err


class TestKubeRay:
    def test_the_manifest_asks_for_what_the_site_says(self, command: Command) -> None:
        Path("site.yaml").write_text(SITE)

        code, out, _ = command("submit", "widths.yaml", "--site", "site.yaml", "--time", "1h", "--dry-run")

        assert code == 0
        assert "note: there is no kubectl on this machine" in out
        assert "note: the job asks for GPUs and its trials for none" in out
        job = yaml.safe_load(Path("results/widths/submissions/001.yaml").read_text())
        (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        (container,) = workers["template"]["spec"]["containers"]
        assert job["metadata"]["name"] == "widths-001"
        assert job["spec"]["activeDeadlineSeconds"] == 3600
        assert job["spec"]["entrypoint"].endswith("--yes --concurrency 4 --address auto")
        assert workers["maxReplicas"] == 3
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"

    def test_what_no_cluster_can_run_is_refused(self, command: Command) -> None:
        code, _, err = command("submit", "widths.yaml", "--on", "kuberay")

        assert code == 2
        assert "kuberay.image: expected a container image" in err
        assert "kuberay.claim: expected a volume claim" in err

    def test_it_is_created_watched_and_deleted_by_kubectl(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(submit, "FOLLOW_SECONDS", 0.01)
        Path("site.yaml").write_text(SITE)
        program(
            "kubectl",
            'echo "$@" >> asked\n[ "$1" = create ] && : > there\n[ "$3" = delete ] && rm -f there\n'
            '[ "$3" = get ] && [ -f there ] && case "$*" in *jsonpath*) echo Running;; *) echo rayjob;; esac\n'
            '[ "$3" = logs ] && echo >> log && mapfile -t lines < log && printf "%s\\n" "${!lines[@]}" '
            "&& [ ${#lines[@]} = 3 ] && rm there\ntrue",
        )
        (Path("bin") / "rm").symlink_to("/bin/rm")
        (Path("bin") / "true").symlink_to("/bin/true")

        assert command("submit", "widths.yaml", "--site", "site.yaml")[0] == 0
        assert command("submit", "widths.yaml", "--site", "site.yaml")[0] == 2
        assert "Cancelled: job widths-001 of kuberay" in command("cancel", "widths")[1]
        assert command("submit", "widths.yaml", "--site", "site.yaml")[0] == 0
        assert command("logs", "widths", "--follow")[1] == "0\n1\n2\n3\n"
        assert "No launch works on" in command("cancel", "widths")[1]


class TestRayJob:
    @pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
    def test_an_address_that_takes_no_jobs_is_one_message(
        self, command: Command, address: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if address is not None:
            monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)

        code, _, err = command("submit", "widths.yaml", "--on", "ray-job")

        assert code == 2
        assert "expected the address of the cluster's dashboard" in err

    def test_nobody_at_the_address_is_one_message(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")

        code, _, err = command("submit", "widths.yaml", "--on", "ray-job")

        assert code == 2
        assert err.startswith("nothing was submitted: ")
        assert err.count("\n") == 1

    def test_a_choice_that_it_has_not_is_refused(self, command: Command) -> None:
        code, _, err = command("submit", "widths.yaml", "--on", "ray-job", "--nodes", "2")

        assert code == 2
        assert "--nodes: ray-job has no such choice" in err


def test_cancel_ends_a_launch_of_this_machine(command: Command) -> None:
    (folder := Path("results/widths")).mkdir(parents=True)
    program("none", "")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as launch:
        assert command("submit", "widths.yaml", "--on", "slurm", "--dry-run")[0] == 0
        program("sbatch", "echo 7")
        assert command(*submitted())[0] == 0
        RunningFile(folder).write(Progress.of([], set()))
        running = folder / "running.json"
        running.write_text(json.dumps(json.loads(running.read_text()) | {"process": launch.pid}))

        code, out, _ = command("cancel", "widths")

        assert (code, out) == (0, f"Process {launch.pid} was told to end. What has finished is kept.\n")
        assert launch.wait(30) == -signal.SIGTERM


def test_a_log_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "log"
    assert read_from(file, 0) == ("", 0)

    file.write_text("one\n")
    text, position = read_from(file, 0)
    with file.open("a") as opened:
        opened.write("two\n")

    assert (text, read_from(file, position)) == ("one\n", ("two\n", 8))
