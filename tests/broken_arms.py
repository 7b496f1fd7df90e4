"""Measurements that do not end well."""

import os
import time


def crashes(scale):
    os.abort()


def hangs(scale):
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)


def raises(scale):
    raise RuntimeError("CUDA error: an illegal memory access\nand pages of text")
