"""Studies: one folder each, with a question that a run of the benchmark does not answer."""
