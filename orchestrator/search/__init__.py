"""Tuning: lets Optuna look for an attribute's settings, and tests what it finds on seeds the search never saw."""
