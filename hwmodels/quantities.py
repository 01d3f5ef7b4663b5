"""Scalar types of the specs: strict, finite, and bounded where physics bounds them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict

Count = Annotated[int, Strict(), Field(ge=1)]
"""A whole number, at least 1."""

NonNegativeInt = Annotated[int, Strict(), Field(ge=0)]
"""A whole number, at least 0."""

Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0."""

NonNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
"""A finite number, at least 0."""

Fraction = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
"""A finite number from 0 to 1."""

Percentile = Annotated[float, Strict(), Field(gt=0, le=100, allow_inf_nan=False)]
"""A finite number above 0 and up to 100."""
