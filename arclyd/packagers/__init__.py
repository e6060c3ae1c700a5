"""Packagers: streams as segments and manifests over HTTP; each process only knows the library.

Frames go one way::

    Subscriber -> channel -> segmenter -> window -> hls | dash -> http | directory

`segmenter` and `window` are shared and do no I/O; `hls` and `dash` turn a window into text and know nothing of one
another; `http` is the server over all of them, `command` the shell.
"""
