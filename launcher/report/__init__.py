"""One HTML page of a run or a sweep: facts from its files -> Page -> HTML. Nothing here reads or writes a run dir."""
