"""The code that runs on the ranks. No other package imports it."""
