"""The real world: a policy acts on a Kubernetes cluster."""
