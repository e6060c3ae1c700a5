"""MPEG-TS from encoders over UDP, TCP and HTTP, and to receivers over UDP."""
