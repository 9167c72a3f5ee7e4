"""The use of a trained model: export, chat and evaluation, in a process that has the training stack."""
