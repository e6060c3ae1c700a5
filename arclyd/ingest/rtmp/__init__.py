"""RTMP: what encoders publish becomes streams, streams are played back, forwarded to services and fetched from them."""
