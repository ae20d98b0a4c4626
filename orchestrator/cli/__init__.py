"""The command `asyrp-sweep`; the only room that imports `analysis`."""
