"""Makes one HTML page of a run or a sweep: facts of its files -> Page -> HTML. Nothing here reads or writes a run dir."""
