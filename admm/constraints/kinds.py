"""The two families of constraints, as the unions that plans and files name by `kind`."""

from __future__ import annotations

from admm.constraints.balance import NM, ColumnBalanced
from admm.constraints.clusters import Cluster
from admm.constraints.groups import ArrayColumn, ArrayRow, Block, Channel, Column, Filter, Kernel, Unstructured
from admm.constraints.levels import Levels
from admm.constraints.pattern import Pattern
from admm.constraints.polarity import Polarised
from admm.constraints.quantisers import Binary, PowerOfTwo, Ternary, Uniform

Counted = Unstructured | Filter | Channel | Column | Block | Kernel | ArrayRow | ArrayColumn
"""Pruning sets that count groups, and so can share one budget over several layers."""

Prune = Counted | NM | ColumnBalanced | Pattern | Polarised
"""Any of the pruning sets."""

Values = Levels | Uniform | PowerOfTwo | Binary | Ternary | Cluster
"""Any of the quantisation sets."""
