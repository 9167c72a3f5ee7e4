"""Work in a process that has the training stack: export, chat and evaluation of a trained model, and tokens ahead of a run."""
