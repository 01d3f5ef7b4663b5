"""Compression of a network until it fits the crossbars: constraints, ADMM, masked retraining."""

from admm import constraints as constraints
from admm.compress import compress as compress
from admm.compressed import Compressed as Compressed
from admm.pins import Stuck as Stuck
from admm.plan import LayerLevels as LayerLevels
from admm.plan import LayerPlan as LayerPlan
from admm.plan import Plan as Plan
from admm.plan import Schedule as Schedule
from admm.purify import Purified as Purified
from admm.purify import purify as purify
