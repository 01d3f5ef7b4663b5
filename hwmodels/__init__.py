"""Physics and cost of the parts of a memristor crossbar: devices, their mismatch, and what peripherals take.

Numbers in, numbers out: nothing here knows a network. The compiled kernels and pandas load on first use.
"""

from hwmodels.cost import Estimate as Estimate
from hwmodels.cost import estimate as estimate
from hwmodels.device import Device as Device
from hwmodels.errors import UserError as UserError
from hwmodels.library import Library as Library
from hwmodels.mismatch import program as program
from hwmodels.mismatch import program_reference as program_reference
