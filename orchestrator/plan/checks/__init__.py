"""What can be wrong with a space: every check yields the place and the message."""
