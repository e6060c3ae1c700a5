"""Wire protocols without their sockets: bytes in, events out."""
