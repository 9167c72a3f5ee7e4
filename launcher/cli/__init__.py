"""The command line: what a verb declares, and how verbs are found in launcher/commands, parsed and run."""
