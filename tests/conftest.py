"""Shared settings: hypothesis without deadlines (machines are noisy), few examples, and no leftovers in the tree."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ohmweave", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("ohmweave")
