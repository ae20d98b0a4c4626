"""Launches that a scheduler starts: written, checked, handed over, watched, ended."""
