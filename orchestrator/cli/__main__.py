"""`python -m orchestrator.cli`: the command without its installed script."""

import sys

from orchestrator.cli.parser import main

sys.exit(main())
