"""From the ledger to statistics, figures and a report. Never trains, never imports ray."""
