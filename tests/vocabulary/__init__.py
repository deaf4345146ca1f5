"""What tests share: toy networks and datasets, made-up frames, and a clone to run the workflow in."""
