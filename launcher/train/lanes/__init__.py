"""Several LoRA trials of a sweep on one rank and one frozen base model: a lane for each, and the loop that leads them."""
