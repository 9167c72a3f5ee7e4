"""Reward functions in processes of their own, so that one that hangs, fails or ends its process does not end the rank."""
