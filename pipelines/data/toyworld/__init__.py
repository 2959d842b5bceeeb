"""Toy world: a procedural street drawn by a "game" and a "camera", the data set that needs no registration.

It shows the whole pipeline working and measured in minutes on two CPU cores, never to claim a result about real roads.
`street`, `houses`, `trees`, `traffic` and `furniture` build the scene, `raster` and `visible` see it, `game` and
`camera` colour it, `write` puts it on disk.
"""
