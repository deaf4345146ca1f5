"""What families of explainers share."""
