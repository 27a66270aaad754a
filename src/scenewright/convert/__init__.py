"""Foreign checkpoints in and out, one format per file; strict about keys, running nothing a file brings."""
