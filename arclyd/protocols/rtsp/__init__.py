"""RTSP 1.0 (RFC 2326): messages, transports, and either side of a session. No I/O."""
