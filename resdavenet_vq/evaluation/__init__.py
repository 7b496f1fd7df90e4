"""Scorers: arrays and files in, numbers out."""
