"""Any training script as a family of trials: a command line with placeholders, and the files it leaves."""
