"""What trainer.kind decides on a rank: trl's trainer and its arguments, and the data in the form that it takes; a file each."""
