"""Units that change a run; see base.Plugin."""
