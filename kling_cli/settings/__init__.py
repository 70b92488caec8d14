"""The settings in force, and the file and directories that they come from."""
