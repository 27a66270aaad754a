"""From scenes to tensors to residuals: one conditioning method per file."""
