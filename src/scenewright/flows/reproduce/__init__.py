"""Claims of papers in miniature: one module per method, on the embedded world with exact ground truth."""
