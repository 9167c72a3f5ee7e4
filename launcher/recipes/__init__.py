"""Recipes of other tools, read and written as configurations of this launcher."""
