"""Keeping the code of a run: what its job imports is what was there when the command was typed."""
