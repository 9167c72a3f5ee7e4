"""Ranks that share the tokens of each sequence (strategy.sequence_parallel_size)."""
