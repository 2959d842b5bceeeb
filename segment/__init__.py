"""Stage two's mathematics: networks, losses, methods and metrics of semantic segmentation. Tensors in, tensors out."""
