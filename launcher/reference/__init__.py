"""The reference pages of docs/reference, generated from the code: `python -m launcher.reference docs/reference`."""
