"""Constraints that several layers share, as the union that plans and files name."""

from __future__ import annotations

from admm.constraints.budget import GlobalBudget
from admm.constraints.hardware_budget import Budget

Shared = GlobalBudget | Budget
"""A budget in groups or weights, or one in hardware; told apart by their fields."""
