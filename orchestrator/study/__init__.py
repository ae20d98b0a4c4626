"""A plan and its results folder: what is missing, what it costs, running it."""
