"""Streams that come as packets of RTP, whatever negotiated them: what rooms of several protocols share."""
