"""Trials of a sweep that train together on one copy of their frozen base model: which, how many, and their job."""
