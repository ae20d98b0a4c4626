"""The one exception of the ledger."""


class LedgerError(Exception):
    """The study's folder cannot be used as asked; the message says which folder and what to do."""
