"""Tasks looked at, waited for and followed to their end."""
