"""A rehearsal: a short copy of a run that is signalled, killed, requeued and cancelled, to see whether it survives."""
