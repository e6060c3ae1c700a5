"""DASH (ISO/IEC 23009-1): the presentation description of a window, as XML."""
