"""One request on its way to its video, bought once."""
