"""Many input vectors that overlap in memory: the patches of an image, never written out as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Vectors:
    """Input vectors as places in a flat tensor: vector i drives row r with `values[start[i] + offset[r]]`.

    values: (m,) input codes; start: (n,) int64; offset: (rows,) int64. A convolution's patches share their pixels this
    way, so n vectors need the memory of the image and not that of n · rows codes.
    """

    values: Tensor
    start: Tensor
    offset: Tensor

    @classmethod
    def of_matrix(cls, codes: Tensor) -> Vectors:
        """The rows of a matrix (n, rows), each a vector."""
        n, rows = codes.shape
        where = codes.device
        return cls(
            values=codes.contiguous().view(-1),
            start=torch.arange(n, device=where) * rows,
            offset=torch.arange(rows, device=where),
        )

    def __len__(self) -> int:
        """How many vectors there are."""
        return self.start.numel()

    @property
    def rows(self) -> int:
        """Length of a vector."""
        return self.offset.numel()

    def select(self, rows: Tensor) -> Vectors:
        """The same vectors, only the rows (int64) asked for."""
        return replace(self, offset=self.offset[rows])

    def part(self, start: int, stop: int) -> Vectors:
        """Vectors start … stop − 1."""
        return replace(self, start=self.start[start:stop])

    def matrix(self) -> Tensor:
        """All vectors written out: (n, rows), the type of `values`."""
        return self.values[self.start[:, None] + self.offset]
