"""Runs, configurations, points of sweeps and peers' published tables on the same axes."""
