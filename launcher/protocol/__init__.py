"""The messages between the processes of a run, a dataclass per message, encoded as one JSON object per line."""
