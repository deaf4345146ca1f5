"""What runs a benchmark: files, provenance, jobs."""
