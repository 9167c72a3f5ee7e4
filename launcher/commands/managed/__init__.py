"""python -m launcher managed ...: fine-tuning at a provider with OpenAI's API."""

from launcher.cli.verb import Verbs

VERB = Verbs(
    line="fine-tune at a provider with OpenAI's API",
    about="OPENAI_BASE_URL is its address, and OPENAI_API_KEY is read from your shell. Requests are recorded in runs/managed.",
    example="managed create train.jsonl --model gpt-4.1-mini-2025-04-14 --epochs 3 --price-per-million 5 --poll",
)
