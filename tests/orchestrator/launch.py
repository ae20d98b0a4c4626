"""The real command with a fake trial class: `python launch.py CLASS ARGUMENTS...`, run as its own process.

Ray, signals, locks and exit codes are the real ones; only what a trial computes is replaced, and the report,
which has nothing to say of fake numbers.
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
    from orchestrator import cli, commands

    options = functools.partial(
        commands.RunOptions,
        trial_class=f"fake_trials:{trial_class}",
        extra_modules=(HERE / "fake_trials.py",),
    )
    with mock.patch.multiple(commands, RunOptions=options, _report=lambda folder, out, console: None):
        return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
