"""FLV's tags to the ring, whatever carries them: the messages of RTMP, the body of an HTTP request."""
