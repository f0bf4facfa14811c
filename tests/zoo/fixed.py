# SPDX-License-Identifier: LGPL-2.1-or-later
"""Weights that are not stored but made: a formula for each tensor, so that a network is its graph and a few numbers.

Element i of the tensor called NAME is float32(a + b * u), u within -1 and 1 by a hash of i and of NAME. The arithmetic is on
integers and exact up to the last rounding, so every machine makes the same weights.
"""
import zlib

import numpy as np


def noise(name, n):
    """n numbers of 24 bits within -1 and 1, as float64 (splitmix64 of Steele, Lea and Flood)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(zlib.crc32(name.encode()) << 32)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def values(name, shape, a, b):
    return (a + b * noise(name, int(np.prod(shape, dtype=np.int64)))).astype(np.float32).reshape(shape)


def picture(shape):
    """Blots of 8 x 8 with grain, so that a global pool leaves something of it."""
    n, c, h, w = shape
    grid = noise("blots", n * c * 64).reshape(n, c, 8, 8)
    rows, columns = np.arange(h) * 8 // h, np.arange(w) * 8 // w
    return (1.2 * grid[:, :, rows][..., columns] + .5 * noise("grain", n * c * h * w).reshape(shape)).astype(np.float32)
