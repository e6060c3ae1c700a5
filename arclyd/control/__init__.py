"""The daemon's own protocol, sans-I/O: what the messages are, how they become bytes.

Specified in ``docs/reference/control_protocol.md``. No sockets, no clocks, no asyncio here.
"""
