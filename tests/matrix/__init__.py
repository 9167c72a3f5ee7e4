"""Every trainer with every plugin, strategy and number of ranks, on the tiny model: `make matrix`."""
