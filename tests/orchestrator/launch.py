"""The real command with a fake trial class: `python launch.py CLASS ARGUMENTS...`, run as its own process.

Ray, signals, locks and exit codes are the real ones; only what a trial computes is replaced, and what has nothing to
say of fake numbers: the report, and the pilot that times real steps for the price.
"""

import functools
import sys
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run the command."""
    trial_class, *arguments = sys.argv[1:]
    sys.path.insert(0, str(HERE))
    from orchestrator.cli import parser as cli
    from orchestrator.cli import run as run_command

    options = functools.partial(
        run_command.RunOptions,
        trial_class=f"fake_trials:{trial_class}",
        extra_modules=(HERE / "fake_trials.py",),
    )
    with (
        mock.patch.object(run_command, "RunOptions", options),
        mock.patch.object(run_command, "show_report"),
        mock.patch("orchestrator.study.price.quoting.piloted", return_value={}),
    ):
        return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
