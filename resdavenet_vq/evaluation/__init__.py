"""Scorers: what a model wrote down, turned into numbers (`encode` is the only part that runs a model)."""
