"""What is run on a machine with a GPU: see docs/howto/gpu_check.md."""
