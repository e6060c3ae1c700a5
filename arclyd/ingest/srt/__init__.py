"""SRT, by the system's libsrt: `arclyd listen srt`, and calls to SRT servers elsewhere."""
