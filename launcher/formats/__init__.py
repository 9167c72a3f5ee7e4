"""Row formats, one module each. A module has the keys of its format, its detection, reader, writer and an example."""
