"""One module for each command: parse, call, print; no logic of their own."""
