"""Data on the ranks: tokenized once, packed into rows, and read in one global order."""
