"""Sets of weight tensors that fit a crossbar, each with its Euclidean projection."""

from admm.constraints.groups import Block as Block
from admm.constraints.groups import Channel as Channel
from admm.constraints.groups import Column as Column
from admm.constraints.groups import Filter as Filter
from admm.constraints.groups import Groups as Groups
from admm.constraints.groups import Unstructured as Unstructured
from admm.constraints.groups import nested_mask as nested_mask
from admm.constraints.levels import Levels as Levels
from admm.constraints.levels import nearest as nearest

Prune = Unstructured | Filter | Channel | Column | Block
"""Any of the pruning sets."""
