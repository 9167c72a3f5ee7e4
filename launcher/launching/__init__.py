"""From what was typed to a job: composed, planned, checked, written, submitted."""
