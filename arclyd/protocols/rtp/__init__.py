"""RTP and RTCP (RFC 3550): packets, what makes access units of them and of access units packets, and clocks. No I/O."""
