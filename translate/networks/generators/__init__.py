"""The networks that make an image, and the parts that they are made of."""
