"""How good a segmenter is: regions, boundaries, instances, calibration, features."""
