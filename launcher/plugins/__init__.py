"""Plugins, each of which changes a run; see base.Plugin."""
