"""Toy world: a procedural street drawn by a "game" and a "camera", the data set that needs no registration.

It shows the whole pipeline working and measured in minutes on two CPU cores, never to claim a result about real roads.
`scene` is built of what `scenery` has, in `materials` and classes (`labels`); `rendering` sees it and colours it as the
game or the camera does; `write` puts it on disk.
"""
