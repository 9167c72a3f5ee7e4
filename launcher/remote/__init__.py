"""A cluster that is reached by ssh: its connection, what travels there, and the launcher's commands that run there."""
