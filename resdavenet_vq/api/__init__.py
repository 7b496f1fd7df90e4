"""What people import, by its names in `resdavenet_vq`: encoders of speech and of images, and both together.

They hold a network of the room `model`, whose modules have similar names, and take and give what is on a person's
desk: files, arrays, units, vectors.
"""
