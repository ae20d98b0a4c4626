"""Runs the schedulers' own programs."""

import shutil
import subprocess

from orchestrator.submission.request import SubmissionError

PATIENCE_SECONDS = 60


def is_here(program: str) -> bool:
    """Whether this machine has a program."""
    return shutil.which(program) is not None


def output_of(*command: str, what: str) -> str:
    """What a program prints. Raises SubmissionError with its last words, where it is missing, silent or refuses."""
    if not is_here(command[0]):
        raise SubmissionError(
            f"{what}: there is no {command[0]} on this machine; run the command where jobs are submitted, "
            "or add --dry-run to have the file written alone"
        )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise SubmissionError(f"{what}: {command[0]} gave no answer in {PATIENCE_SECONDS} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SubmissionError(
            f"{what}: {lines[-1] if lines else f'{command[0]} ended with {done.returncode}'}"
        )
    return done.stdout
