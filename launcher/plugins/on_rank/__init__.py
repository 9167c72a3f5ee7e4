"""The parts of plugins that run on ranks alone; plugins import them in their hooks."""
