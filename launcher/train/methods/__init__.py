"""The parts of training methods on a rank: trl's trainer, its arguments and its form of the data; one file per method."""
