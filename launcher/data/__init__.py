"""Reading, checking and converting training data, without torch."""
