"""The ledger: append-only Parquet tables of a study, the only truth about what has run.

A worker writes a trial's parts, the driver's row in `trials` commits them; rows whose (signature, attempt)
is not committed do not exist for readers. Parts of many trials become one file behind a launch. Depends on nothing
else of ours and on no torch, so that anything may read it.
"""

from orchestrator.ledger.columns import share_columns
from orchestrator.ledger.compaction import BackgroundCompaction
from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.history import described, planned_looks, plans_after, write_study
from orchestrator.ledger.lock import LedgerLock
from orchestrator.ledger.schemas import SCHEMA_VERSION, TABLES
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.study import (
    PlannedLooks,
    StudyCell,
    StudyPlan,
    StudyTrial,
    claim_study,
    read_study,
    status_matrix,
)

__all__ = [
    "SCHEMA_VERSION",
    "TABLES",
    "BackgroundCompaction",
    "Ledger",
    "LedgerError",
    "LedgerLock",
    "PlannedLooks",
    "StudyCell",
    "StudyPlan",
    "StudyTrial",
    "claim_study",
    "described",
    "planned_looks",
    "plans_after",
    "read_study",
    "share_columns",
    "status_matrix",
    "write_study",
]
