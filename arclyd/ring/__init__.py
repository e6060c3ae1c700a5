"""Frames of bytes in shared memory: one writer, any number of read-only readers.

The layout is specified in ``shm_layout.md``; the C core stands in ``core/``.
Knows no media and no sockets.
"""
