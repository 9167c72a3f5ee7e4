"""Many runs from one command: expanding, queueing, taking and reading trials."""
