"""Data on the ranks: tokenized once, packed into rows, dealt out in one order."""
