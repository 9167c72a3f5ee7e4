"""Places in the command of a server that its node fills in. The plan needs them without the messages of the protocol."""

HOST, PORT = "{host}", "{port}"
