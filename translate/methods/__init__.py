"""The training methods of stage one, by the names that a config uses.

A new method is a file beside this one and a line in the dict below.
"""

from translate.methods.cut import CUT
from translate.methods.cyclegan import CycleGAN
from translate.methods.pix2pixhd import Pix2pixHD
from translate.methods.published import Published
from translate.methods.translator import Translator

METHODS: dict[str, type[Translator]] = {
    "cut": CUT,
    "cyclegan": CycleGAN,
    "pix2pixhd": Pix2pixHD,
    "published": Published,
}
