"""The controllers that a rollout needs: Deployments, ReplicaSets, EndpointSlices, Jobs."""
