"""Sweeps: many configurations at once, their work shared, stored and never done twice."""
