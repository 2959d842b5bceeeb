"""The training methods of stage one, by the names that a config uses.

A new method is a file beside this one and a line in METHODS.
"""

from translate.methods.adain import AdaIN
from translate.methods.cut import CUT
from translate.methods.cyclegan import CycleGAN
from translate.methods.pix2pixhd import Pix2pixHD
from translate.methods.published import Published
from translate.methods.student import Student
from translate.methods.translator_training import TranslatorTraining

METHODS: dict[str, type[TranslatorTraining]] = {
    "adain": AdaIN,
    "cut": CUT,
    "cyclegan": CycleGAN,
    "pix2pixhd": Pix2pixHD,
    "student": Student,
}
TRANSLATORS: dict[str, type[TranslatorTraining] | type[Published]] = {**METHODS, "published": Published}
"""All that a checkpoint may hold: what the methods train, and what others have trained."""
