"""Studies: one folder each; every one asks a question that a run of the benchmark does not answer."""
