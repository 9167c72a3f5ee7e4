"""The parts of strategies on a rank: one module for each strategy that differs from plain data parallelism."""
