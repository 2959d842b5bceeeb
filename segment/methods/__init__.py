"""Training methods of stage two by the name under which an experiment asks for them.

A new method is one file that subclasses `SegmenterTraining`, one line here, one TOML, and a test that subclasses
`MethodTester`.
"""

from segment.methods.adabn import AdaBN
from segment.methods.adaptsegnet import AdaptSegNet
from segment.methods.ass import ASS
from segment.methods.cbst import CBST
from segment.methods.clan import CLAN
from segment.methods.dacs import DACS
from segment.methods.distillation import Distillation
from segment.methods.duda import DUDA
from segment.methods.fda import FDA
from segment.methods.maxsquare import MaxSquare
from segment.methods.mic import MIC
from segment.methods.minent import MinEnt
from segment.methods.safn import SAFN
from segment.methods.segmenter_training import SegmenterTraining
from segment.methods.supervised import Supervised
from segment.methods.swd import SWD

METHODS: dict[str, type[SegmenterTraining]] = {
    "supervised": Supervised,
    "adabn": AdaBN,
    "adaptsegnet": AdaptSegNet,
    "ass": ASS,
    "cbst": CBST,
    "clan": CLAN,
    "dacs": DACS,
    "distillation": Distillation,
    "duda": DUDA,
    "fda": FDA,
    "maxsquare": MaxSquare,
    "mic": MIC,
    "minent": MinEnt,
    "safn": SAFN,
    "swd": SWD,
}
