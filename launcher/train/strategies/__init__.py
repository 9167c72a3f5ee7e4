"""What a strategy needs on a rank: a module for each that differs from plain data parallelism."""
