"""MPEG transport streams (ISO/IEC 13818-1) read packet by packet: bytes at any split in, access units out.

`psi` reads tables, `pes` the packets of elementary streams, `content` says what a stream is, `demuxer` puts them
together, and `framers` makes arclyd's canonical payloads of what comes out. No I/O, no clock, no memory without bound.
"""
