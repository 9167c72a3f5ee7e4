"""From a command line to a job: compose, plan, check, write, submit."""
