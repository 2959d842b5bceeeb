"""The training methods of stage one, by the names that a config uses.

A new method is a file beside this one and a line in the dict below.
"""

from segment.methods.method import Method
from translate.methods.cyclegan import CycleGAN

METHODS: dict[str, type[Method]] = {
    "cyclegan": CycleGAN,
}
