"""Fine-tuning at a provider, over an API of OpenAI's shape: the client, what is sent, and what was asked before."""
