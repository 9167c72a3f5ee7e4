"""When a checkpoint counts, free of torch."""
