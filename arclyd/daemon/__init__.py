"""The daemon: registry of streams, limits, figures and events. Never on the data path.

``app`` composes it and is the place to start reading: ``control_server`` moves bytes between
sockets and `arclyd.control`, ``dispatch`` answers requests, ``streams`` holds what there is
and decides who may publish it, ``regions`` is its hold on shared memory. The logic knows no
loop and no clock: time is an argument, so that every timeout is tested without waiting.
"""
