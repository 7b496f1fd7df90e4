"""A model over speech: units and features, and the files that hold them."""
