"""From a space to checked cells and trials with their identities."""
