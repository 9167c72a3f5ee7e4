"""What is done with a trained model: it is exported, asked, and evaluated by a process that has the training stack."""
