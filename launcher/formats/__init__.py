"""Row formats, one module each. A module has the keys of its format, its detection, reader, writer and an example."""

AUTO = "auto"
"""The value of data.format that detects each row's format from its keys."""
