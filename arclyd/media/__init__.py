"""What a frame means: tracks, codecs and their configurations, exact time. No I/O, no clock.

`arclyd.media.track` describes a track, `arclyd.media.timebase` does arithmetic on
timestamps, `arclyd.media.frame` names the flags of a frame, and
`arclyd.media.codecs` reads what encoders write.
"""
