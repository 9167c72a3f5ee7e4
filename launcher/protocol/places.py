"""Placeholders in a server's command, which its node replaces. They stand here because the plan needs no protocol messages."""

HOST, PORT = "{host}", "{port}"
