"""Random draws as pure functions of what they are for, so that a resumed run draws what an undisturbed one would.

No generator has a history here: a key such as (seed, "crop", step, slot) is hashed into the seed of a fresh one.
"""

import hashlib

import numpy as np


def key_number(*key: int | str) -> int:
    """A 63-bit number that depends on every part of the key, equal on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def keyed_random(*key: int | str) -> np.random.Generator:
    """A fresh generator for one purpose, for example `keyed_random(seed, "crop", step, slot)`."""
    return np.random.default_rng(key_number(*key))
