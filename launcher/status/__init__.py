"""What can be said of a run from its files and from its place."""
