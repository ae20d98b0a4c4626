"""What a user can put right, told apart from our own mistakes without importing torch."""


class UserError(Exception):
    """The message says what is wrong and what to do; commands print it without a traceback."""
