"""rolloutsim: the odds of a software rollout policy, before it runs."""
