"""A space as it is written: the YAML file, its axes, its design and its points."""
