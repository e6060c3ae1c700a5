"""SDP (RFC 8866): what a session's media are, as RTSP describes and announces them. No I/O."""
