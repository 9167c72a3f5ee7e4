"""Fine-tuning at a provider with an OpenAI-compatible API: the client, the uploaded rows, and records of earlier requests."""
