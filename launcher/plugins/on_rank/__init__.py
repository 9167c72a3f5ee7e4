"""The parts of plugins that run only on ranks; plugins import them in their hooks."""
