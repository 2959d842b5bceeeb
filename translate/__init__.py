"""Stage one's mathematics: networks, losses and methods of image translation. Tensors in, tensors out."""
