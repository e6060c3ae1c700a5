"""HLS (RFC 8216bis): playlists of a window, as text."""
