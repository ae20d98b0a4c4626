"""Results that were measured elsewhere: read, checked, and judged as those of a study."""
