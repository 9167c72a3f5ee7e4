"""What a person types: a verb a file."""
