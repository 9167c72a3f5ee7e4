"""What runs on the ranks. Nobody imports this package."""
