"""Figures that only studies of this family have."""
