"""Tuning: lets Optuna look for settings, and tests what it finds on seeds the search never saw."""
