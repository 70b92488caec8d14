"""The client of the video-effects API."""
