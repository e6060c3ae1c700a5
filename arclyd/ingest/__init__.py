"""Gateways that bring media in: one room per protocol, each a process that only knows the library."""
