"""Where pairs of images and spoken captions come from: one internal record, and a module for each corpus."""
