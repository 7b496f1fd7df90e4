"""What a person gets to see: figures, the report's pages, and annotations for Praat."""
