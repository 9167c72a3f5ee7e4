"""Trackers, one module each: what it needs, how it starts and logs on rank 0, when it is offline, and how it sends later."""
