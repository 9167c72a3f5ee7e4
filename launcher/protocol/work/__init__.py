"""What a command and the process with the training stack that works for it tell each other, a line of JSON per message."""
