"""Result clips become files, or go to standard output: whole, or not at all."""
