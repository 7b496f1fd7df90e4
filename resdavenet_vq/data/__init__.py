"""From wav and image files to training batches: features, the store that holds them, and what reads it."""
