"""The networks: quantizer, audio encoder, image encoder, the two together, and their files.

Knows nothing of data sets: tensors in, tensors out.
"""
