"""The HTTP plane: one server over all channels of a packager."""
