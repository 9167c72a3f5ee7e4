"""A server of OpenAI's shape for a model of a run: what it reads and writes, its queue, its routes, and its start."""
