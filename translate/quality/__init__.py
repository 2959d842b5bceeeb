"""How good translated frames are: distances between sets of frames, and what became of each single one.

Functions of tensors only; `pipelines/stages/quality` reads the frames and names the figures.
"""
