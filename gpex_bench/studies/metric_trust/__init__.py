"""Which metrics can be trusted: what they do under perturbed networks and inputs."""
