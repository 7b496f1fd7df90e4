"""ResDAVEnet-VQ: discrete linguistic units learnt from images and their spoken captions."""

__version__ = "0.1.0"
