"""Transport streams to the ring and from it, whatever carries them: UDP, TCP, HTTP."""
