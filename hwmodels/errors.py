"""What a user can do wrong, said once: the exception that every package raises for a user's mistake.

A mistake of the user is a `UserError`: one message that names the thing, the value and the way out; the
command line prints it and exits with 2. A mistake of ours is an `assert` or an ordinary exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A user's mistake: bad input, a missing file, an impossible request."""


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """A sentence with the nearest allowed spelling, or the whole choice when nothing is near."""
    names = sorted(allowed)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Choose one of: {', '.join(names)}." if names else ""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not in a list: `raise unknown("device", "hfx", names)`."""
    return UserError(f"Unknown {kind} {name!r}. {suggestion(name, allowed)}".rstrip())
