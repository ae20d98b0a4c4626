"""What h-spaces add to the command line. Only here may a family import the orchestrator and the analysis."""
