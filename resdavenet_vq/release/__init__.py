"""The models of 2020."""
