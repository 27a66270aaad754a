"""Foreign checkpoints in and out, one format per file; strict about keys, never running what a file brings."""
