"""RTSP: what encoders record becomes streams, streams are played back, fetched from cameras and sent to servers."""
