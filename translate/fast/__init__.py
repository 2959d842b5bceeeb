"""Layers that compute what torch's do, faster on a CPU: Winograd's convolution and few-channel convolutions."""
