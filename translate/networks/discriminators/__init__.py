"""The networks that judge whether an image is real, and what they have in common."""
