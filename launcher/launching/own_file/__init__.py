"""A run's configuration in a file of one's own: plain nested keys, given with --config."""
