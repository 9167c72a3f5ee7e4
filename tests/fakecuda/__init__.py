"""The launcher's own rank on a fake CUDA device: lifetimes of tensors and dispatch as on a GPU, and no kernel runs."""
