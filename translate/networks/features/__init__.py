"""The networks that make features of an image, and the layers that make features comparable."""
