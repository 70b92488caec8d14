"""The built-in sandbox: the rules of the real service, without token, network or cost."""
