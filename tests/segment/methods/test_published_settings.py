"""What every knob is where nothing is said: the figure of the method's paper or code, written down here a second time.

A default that slips changes what is compared under the paper's name, and no other test would notice.
"""

import pytest

from segment.methods import METHODS

DISCRIMINATOR = {
    "discriminator": "plain",
    "discriminator_channels": 64,
    "discriminator_learning_rate": 1e-4,
    "domain_loss": "binary_cross_entropy",
}
SELF_TRAINING = {"mixed_weight": 1.0, "mix": "classes", "threshold": 0.968, "feature_share": 0.75}
PUBLISHED = {
    "adaptsegnet": DISCRIMINATOR | {"adversarial_weight": 0.001, "auxiliary_adversarial_weight": 0.0},
    "ass": DISCRIMINATOR | {"semantic_adversary": "csa", "semantic_weight": 0.01, "semantic_channels": 1024},
    "cbst": {"kept_share": 0.2, "assignment": "balanced"},
    "clan": DISCRIMINATOR
    | {
        "adversarial_weight": 0.001,
        "local_weight": 40.0,
        "least_local_weight": 0.4,
        "likeness_weight": 2 * 0.01,
        "plain_share": 0.05,
    },
    "dacs": SELF_TRAINING | {"teacher_decay": 0.99},
    "duda": SELF_TRAINING | {"teacher_decay": 0.999},
    "fda": {"window": 0.01, "entropy_weight": 0.005, "entropy_power": 2.0, "entropy_start": 50_000 / 150_000},
    "maxsquare": {"certainty_weight": 0.1, "image_wise": False, "rarity_power": 0.2, "guidance_threshold": 0.95},
    "mic": SELF_TRAINING | {"teacher_decay": 0.999, "masked_weight": 1.0, "block": 64, "hidden": 0.7},
    "minent": {"entropy_weight": 0.001, "auxiliary_entropy_weight": 0.0},
    "safn": {"weight": 0.00015, "increment": 0.12, "damping": 1.5},
    "swd": {"projections": 128},
}
"""Those that a paper, or its code, gives; by the method's name."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_default_is_the_published_figure(name):
    settings = METHODS[name].Settings()
    assert {knob: getattr(settings, knob) for knob in PUBLISHED[name]} == PUBLISHED[name]
