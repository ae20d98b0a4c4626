"""The commands `submit`, `cancel` and `logs`: launches that a scheduler starts and that outlive the terminal."""

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from orchestrator.cli.figure_checks import check_figures
from orchestrator.cli.option_values import cost
from orchestrator.cli.reporting import known_study
from orchestrator.cli.run import asked_space, check_shards
from orchestrator.cli.time_limits import check_limit
from orchestrator.cli.tune import introduce
from orchestrator.execution.ending import LaunchEnd, TimeLimit
from orchestrator.execution.provenance import host
from orchestrator.execution.ray.cluster import num_slots
from orchestrator.ledger import LedgerError, LedgerLock
from orchestrator.ledger.copies import copy_at
from orchestrator.ledger.study import SUBMISSIONS
from orchestrator.search.loading import Wish, load_tuning_space
from orchestrator.search.objectives import search_config
from orchestrator.search.running import describe_search
from orchestrator.search.search_price import SearchQuote
from orchestrator.space.config import ConfigError, Problem, wrong_input
from orchestrator.study import planning
from orchestrator.study.launch import Study, describe, open_study
from orchestrator.study.price.quoting import Quote
from orchestrator.study.runner import published
from orchestrator.submission.places import place, place_of
from orchestrator.submission.record import LOCAL_SUBMISSIONS, Submission, keep, next_number, now, submissions
from orchestrator.submission.request import Job, Place, Request, SubmissionError
from orchestrator.submission.site import KubeRaySite, PlaceName, Site, read_site
from orchestrator.views.live import say
from orchestrator.views.running_file import RunningFile
from trainables.errors import UserError
from trainables.paths import user_path
from trainables.settings import Settings

FOLLOW_SECONDS = 2.0


def submit_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Write what a scheduler needs, check it, hand it over, return at once."""
    on, site, asked = _site(options)
    at = place(on, site)
    work = _work(options, console)
    study = work.study
    if work.is_done:
        say(console, f"Nothing is missing: every trial of this {work.what} is done. Nothing was submitted.")
        return 0
    _refuse_a_second(study)
    copy = copy_at(study.folder.parent)
    limit = _limit(getattr(asked, "time", None))
    request = Request(
        study=study.space.name,
        folder=study.folder / (SUBMISSIONS if copy is None else LOCAL_SUBMISSIONS),
        number=next_number(study.folder),
        launch=(*_launch(options, work.command), *_at_once(work, asked)),
        seconds=None if limit is None else limit.seconds,
        said=command_line,
        url=None if copy is None else copy.objects.url,
        shards=options.shards,
    )
    if problems := [Problem("", 0, where, message) for where, message in at.problems(request)]:
        raise ConfigError(problems)
    if limit is not None:
        end = LaunchEnd(limit)
        work.expect(end)
        check_limit(end)
    say(console, *(f"note: {line}" for line in at.remarks(request)))
    if getattr(asked, "gpus_per_node", 0) and not study.space.config.execution.gpus_per_trial:
        advice = "--set execution.gpus_per_trial=1 lets them use one each"
        say(console, f"note: the job asks for GPUs and its trials for none: {advice}")
    file = request.folder / f"{request.name}{at.file_ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(at.text(request), encoding="utf-8")
    if options.dry_run:
        say(console, f"Written, not submitted: {file}")
        return 0
    with LedgerLock(study.ledger_folder), published(study):
        work.describe()
    job = at.submit(file, request)
    files = "" if copy is None else str(request.folder)
    keep(
        study.folder,
        Submission(request.number, on, job, at.address, command_line, now(), files, options.shards or 0),
    )
    say(console, f"Submitted as job {job} of {on}: {file}", _next_steps(study))
    return 0


def cancel_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """End the launch that works on a study, wherever it is; what it has done stays."""
    folder = known_study(options.study, options.results)
    for submission, at, job in _active(folder):
        at.cancel(job.id)
        say(console, f"Cancelled: job {job.id} of {submission.on}. What has finished is kept.")
        return 0
    launch = RunningFile(folder).read()
    alive = [] if launch is None else [one for one in launch.each if one.is_alive]
    if not alive:
        say(console, f"No launch works on {folder}.")
    for one in alive:
        if one.host == host():
            os.kill(one.process, signal.SIGTERM)
            say(console, f"Process {one.process} was told to end. What has finished is kept.")
    if elsewhere := [f"process {one.process} on {one.host}" for one in alive if one.host != host()]:
        raise UserError(f"the launch of {folder} is {', '.join(elsewhere)}: cancel it there")
    return 0


def logs_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Print what the latest job of a study has printed, or a trial's log."""
    folder = known_study(options.study, options.results)
    found = submissions(folder)
    if not found:
        raise UserError(
            f"{folder} was never submitted: a launch prints into its own terminal; `asyrp-sweep explain CELL:SEED` "
            "shows the end of a trial's log"
        )
    latest = found[-1]
    at = place_of(latest)
    if is_asked_for := at.log(latest.job) is not None:
        readers = [partial(_read_from_place, at, latest.job)]
    else:
        readers = [partial(read_from, file) for file in latest.logs(folder)]
    positions = [0] * len(readers)
    shown = None
    while True:
        is_active = options.follow and at.jobs([latest.job])[latest.job].is_active
        for number, read in enumerate(readers):
            text, positions[number] = read(positions[number])
            if text and latest.shards and shown != number:
                say(console, f"shard {number + 1}/{latest.shards}:")
            if text:
                shown = number
                say(console, text.rstrip("\n"))
        if not is_active:
            break
        time.sleep(FOLLOW_SECONDS)
    if not any(positions):
        file = latest.logs(folder)[0]
        where = f" here; its log is {file} where it was submitted" if latest.files else f" yet ({file})"
        say(
            console,
            f"Job {latest.job} of {latest.on} has printed nothing{' yet' if is_asked_for else where}.",
        )
    return 0


def _read_from_place(at: Place, job: str, position: int) -> tuple[str, int]:
    """As `read_from`, of what a scheduler keeps itself."""
    text = at.log(job) or ""
    return text[position:], len(text)


def read_from(file: Path, position: int) -> tuple[str, int]:
    """What a file holds from a position on, and where it ends; nothing while it is not there."""
    try:
        with file.open("rb") as opened:
            opened.seek(position)
            data = opened.read()
    except FileNotFoundError:
        return "", position
    return data.decode("utf-8", "replace"), position + len(data)


def submission_lines(folders: Sequence[Path]) -> dict[Path, str]:
    """How the latest job of each study that has had one stands, for `status`; each scheduler is asked once."""
    told: dict[Path, str] = {}
    of_places: dict[tuple[str, str], dict[Path, Submission]] = {}
    for folder in folders:
        try:
            for latest in submissions(folder)[-1:]:
                of_places.setdefault((latest.on, latest.address), {})[folder] = latest
        except LedgerError as error:
            told[folder] = str(error)
    for of_one_place in of_places.values():
        ids = [one.job for one in of_one_place.values()]
        try:
            jobs = place_of(next(iter(of_one_place.values()))).jobs(ids)
            states = {id: jobs[id].state for id in ids}
        except SubmissionError as error:
            states = dict.fromkeys(ids, str(error))
        for folder, one in of_one_place.items():
            state = f": {states[one.job]}" if states[one.job] else ""
            told[folder] = f"submitted {one.since} as job {one.job} of {one.on}{state}"
    return told


def _site(options: argparse.Namespace) -> tuple[PlaceName, Site, Settings]:
    """Where the job goes, the site with what the command line says in its place, and its part for that scheduler."""
    site = read_site(options.site)
    on: PlaceName | None = options.on or site.on
    if on is None:
        raise wrong_input("--on", "expected slurm, ray-job or kuberay, here or as `on` of the site")
    section = on.replace("-", "_")
    settings: Settings = getattr(site, section)
    said = {
        name: value
        for name in ("nodes", "gpus_per_node", "cpus_per_node", "time", "partition", "account")
        if (value := getattr(options, name)) is not None
    }
    if unknown := [name for name in said if name not in type(settings).model_fields]:
        message = f"{on} has no such choice: it uses what its cluster has"
        raise ConfigError([Problem("", 0, f"--{name.replace('_', '-')}", message) for name in unknown])
    if options.shards is not None and on != "slurm":
        raise wrong_input("--shards", f"{on} has no arrays of jobs: leave it out")
    asked = settings.model_copy(update=said)
    return on, site.model_copy(update={section: asked}), asked


@dataclass(frozen=True)
class _Work:
    """What a job is to do."""

    study: Study
    what: str
    command: Literal["run", "tune"]
    num_trials: int
    is_done: bool
    expect: Callable[[LaunchEnd], None]
    """Tell the job's end how long trials take to a checkpoint, by earlier ones in these results."""
    describe: Callable[[], None]
    """Write what readers see before the job begins; only with the study's lock."""


def _work(options: argparse.Namespace, console: Console) -> _Work:
    """The plan or the search of the command line, shown to the user."""
    space = asked_space(options)
    if space.config.design.kind == "optuna":
        return _search(options, console)
    if options.shards is not None:
        check_shards(space, "--shards")
    study = open_study(space, options.results, reuses_changed_code=options.reuse_changed_code)
    view = planning.view(study)
    planning.show(view, console)

    def expect(end: LaunchEnd) -> None:
        end.expected = planning.seconds_to_checkpoints(view, Quote(study))

    def tell() -> None:
        describe(study, has_results=bool(view.now.done))

    return _Work(study, "plan", "run", len(study.plan.trials), not view.num_missing, expect, tell)


def _search(options: argparse.Namespace, console: Console) -> _Work:
    """A search, whose trials are not known yet. Raises ConfigError for what `tune` cannot be told."""
    given = {
        "--seeds": options.seeds, "--shards": options.shards, "--reuse-changed-code": options.reuse_changed_code
    }  # fmt: skip
    if problems := [Problem("", 0, name, "a search takes no such option") for name in given if given[name]]:
        raise ConfigError(problems)
    wish = Wish(options.space, domain=options.domain, settings=options.set)
    study = open_study(load_tuning_space(wish, extra_checks=[check_figures]), options.results)
    introduce(study, console)
    quote = SearchQuote(study)

    def expect(end: LaunchEnd) -> None:
        end.expected_of_others = quote.seconds_to_checkpoint()

    def tell() -> None:
        if study.earlier_plan_hash is None:
            describe_search(study, [])

    num_trials = search_config(study.space.config).trials
    return _Work(study, "search", "tune", num_trials, quote.is_through, expect, tell)


def _limit(time: str | None) -> TimeLimit | None:
    """Most time of the job."""
    try:
        return None if time is None else TimeLimit(f"--time {time}", cost(time).seconds)
    except argparse.ArgumentTypeError as error:
        raise wrong_input("--time", str(error)) from error


def _launch(options: argparse.Namespace, command: str) -> Iterator[str]:
    """The arguments of `run` or `tune`, with paths that hold anywhere."""
    yield from (command, _anywhere(options.space), "--results", _place(options.results.absolute()))
    if options.domain is not None:
        yield from ("--domain", _anywhere(options.domain))
    if options.seeds is not None:
        yield from ("--seeds", options.seeds)
    for setting in options.set:
        yield from ("--set", setting)
    for where in options.log_to:
        yield from ("--log-to", where)
    if options.reuse_changed_code:
        yield "--reuse-changed-code"
    if command == "run":  # `tune` asks nothing.
        yield "--yes"


def _at_once(work: _Work, asked: Settings) -> Iterator[str]:
    """For how many trials a cluster that grows is asked: as many as its most machines hold."""
    if isinstance(asked, KubeRaySite):
        node = {"CPU": asked.cpus_per_node, "GPU": asked.gpus_per_node}
        most = num_slots(work.study.space.config.execution, [node] * asked.nodes, work.num_trials)
        yield from ("--concurrency", str(most))


def _place(results: Path) -> str:
    """Results as any machine may name them: the URL that a folder is a copy of, or the folder."""
    copy = copy_at(results)
    return str(results) if copy is None else copy.objects.url


def _anywhere(text: str) -> str:
    """A file's absolute path; a name as it is."""
    path = user_path(text)
    return str(path.absolute()) if path.exists() else text


def _refuse_a_second(study: Study) -> None:
    """Raise UserError where a launch waits or works already."""
    taken = [
        f"{study.folder} has been submitted already: job {job.id} of {submission.on} is {job.state}"
        for submission, _, job in _active(study.folder)
    ]
    launch = None if taken else RunningFile(study.folder).read()
    if launch is not None and launch.is_alive:
        taken = [f"a launch works on {study.folder} already: process {launch.process} on {launch.host}"]
    if taken:
        raise UserError(f"{taken[0]}. Nothing was submitted.\n{_next_steps(study)}")


def _active(folder: Path) -> Iterator[tuple[Submission, Place, Job]]:
    """Jobs of the study that wait or run, the latest first."""
    for submission in reversed(submissions(folder)):
        at = place_of(submission)
        job = at.jobs([submission.job])[submission.job]
        if job.is_active:
            yield submission, at, job


def _next_steps(study: Study) -> str:
    results = study.folder.parent
    is_copy = copy_at(results) is not None
    named = f"{study.space.name} --results {_place(results)}" if is_copy else str(study.folder)
    steps = {
        f"asyrp-sweep status {named}": "how far it is",
        f"asyrp-sweep logs {named}": "what it printed",
        f"asyrp-sweep cancel {named}": "end it; what is done stays",
    }
    width = max(map(len, steps))
    return "\n".join(f"  {step:{width}}  # {what}" for step, what in steps.items())
