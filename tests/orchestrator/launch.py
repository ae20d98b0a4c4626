"""The real command with a fake trial class: `python launch.py CLASS ARGUMENTS...`, run as its own process.

Ray, signals, locks and exit codes are the real ones; only what a trial computes is replaced, and the report,
which has nothing to say of fake numbers.
"""

import functools
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run the command."""
    trial_class, *arguments = sys.argv[1:]
    sys.path.insert(0, str(HERE))
    from orchestrator import cli, commands

    # The real command with another trial class: a name is rebound, which mypy takes for a type's.
    commands.RunOptions = functools.partial(  # type: ignore[misc, assignment]
        commands.RunOptions,
        trial_class=f"fake_trials:{trial_class}",
        extra_modules=(HERE / "fake_trials.py",),
    )
    commands._report = lambda folder, out, console: None
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
