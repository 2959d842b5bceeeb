"""The classes of the toy world and the two native encodings it writes.

Train ids are Cityscapes'; the numbers on disk are CARLA's (0.9.14 and later) for the game and Cityscapes' for the
camera, so that both sets go through the same readers as downloaded ones.
"""

from enum import IntEnum

import numpy as np


class TrainId(IntEnum):
    """Cityscapes train ids."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    TRAFFIC_LIGHT = 6
    TRAFFIC_SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18


CARLA_TAGS = np.arange(1, 20, dtype=np.uint8)
"""CARLA's semantic tag of each train id; LibCarla/source/carla/rpc/ObjectLabel.h from 0.9.14 on."""

CITYSCAPES_IDS = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], dtype=np.uint8)
"""Value in `*_gtFine_labelIds.png` of each train id; cityscapesScripts helpers/labels.py."""
