"""RTMP (Adobe's RTMP Specification 1.0, 2012) and Enhanced RTMP v2: handshake, chunks, AMF, sessions. No I/O."""
