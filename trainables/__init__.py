"""One trial of an h-space editor, in plain Python and torch. Knows nothing of Ray."""
