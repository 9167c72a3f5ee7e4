"""Variants as if in a foreign package: each works with no line of launcher/ changed."""
