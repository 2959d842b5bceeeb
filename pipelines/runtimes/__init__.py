"""How a trained network runs fast on the machine at hand, and from a frame to a label map or an image."""
