"""The file gateway: a media file, a container on standard input or a test picture becomes a live stream.

``source`` opens and demuxes, ``to_frames`` makes canonical payloads, ``pacing`` says when, ``command`` is the shell.
"""
