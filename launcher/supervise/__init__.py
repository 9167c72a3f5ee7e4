"""The processes of a job that are above the ranks: the supervisor on the batch host, and an agent on each node."""
