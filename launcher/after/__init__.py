"""Work in a process that has the training stack: export, chat and evaluation of a model, and the tokens of a future run."""
