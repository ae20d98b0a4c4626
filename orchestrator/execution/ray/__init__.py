"""The back end that runs trials on Ray; the only folder that imports it."""
