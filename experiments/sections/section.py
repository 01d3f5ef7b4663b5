"""How a section of the configuration is made: frozen, strict, with mistakes told as those of a file."""

from __future__ import annotations

from dataclasses import field
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from experiments.sections.messages import sentences
from hwmodels.errors import UserError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, Field))
def section(cls: type[T]) -> type[T]:
    """A frozen, strict section whose mistakes read like those of the file: flags build sections one by one."""
    made = pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls)
    plain_init = made.__init__

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807  it replaces the generated one
        try:
            plain_init(self, **values)
        except ValidationError as error:
            raise UserError("\n".join(sentences(error, made))) from None

    __init__.__doc__ = plain_init.__doc__
    made.__init__ = __init__  # type: ignore[assignment, method-assign]
    return made  # type: ignore[return-value]
