"""What valid training data is, free of torch."""
