"""The built-in domain: small cartoon faces, drawn from labels, so that every true edit can be drawn too."""
