"""What stands over the ranks in a job: the supervisor on the batch host, and the starter on each node."""
