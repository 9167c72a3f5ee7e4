"""The command line: the declaration of verbs, and how they are found in launcher/commands, parsed and run."""
