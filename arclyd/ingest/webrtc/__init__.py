"""WebRTC: browsers publish by WHIP (RFC 9725) and play by WHEP; frames pass through as they were encoded."""
