"""The embedded service: the rules of the real one, without token, network or cost."""
