"""Containers: our own fMP4 boxes, continuous timestamps across breaks, and remuxing by PyAV.

The package itself imports nothing, so that a program that only reads frames needs no PyAV.
"""
