"""Turn photos into short effect videos through the Kling video-effects API."""

# A literal: reading it from the installed metadata costs more than the rest of `kling --version`.
__version__ = "0.2.0"
