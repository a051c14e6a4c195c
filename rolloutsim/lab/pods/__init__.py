"""Pods that are real HTTP servers on loopback addresses of their own, all in one process beside the API."""
