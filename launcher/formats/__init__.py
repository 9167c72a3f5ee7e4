"""Formats of rows, one module each: its keys, how it is detected, its reader, its writer and an example."""
