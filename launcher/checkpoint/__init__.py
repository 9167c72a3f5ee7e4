"""The files of a checkpoint and when it counts as committed, without torch."""
