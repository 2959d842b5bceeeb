"""Other people's weights: published checkpoints become our networks; encoders start from ImageNet."""
