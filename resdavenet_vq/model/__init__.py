"""The networks: quantizer, audio encoder, image encoder, the two together, and their files.

Independent of data sets: tensors in, tensors out.
"""
