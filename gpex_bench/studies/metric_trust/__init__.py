"""Which metrics can be trusted: how they react to perturbed networks and inputs."""
