"""Work with a trained model: the export at the end of every run, and the verbs that open a model."""
