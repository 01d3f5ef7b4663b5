"""Physics and cost of the parts of a memristor crossbar: devices, their mismatch, and what peripherals take.

Numbers in, numbers out: nothing here knows a network. The compiled kernels and pandas load on first use.
"""

from hwmodels.adc_bits import required_adc_bits as required_adc_bits
from hwmodels.adc_bits import required_adc_bits_of as required_adc_bits_of
from hwmodels.cost import Estimate as Estimate
from hwmodels.cost import estimate as estimate
from hwmodels.cost import prepare as prepare
from hwmodels.dense_tiles import Matrix as Matrix
from hwmodels.dense_tiles import dense_tiles as dense_tiles
from hwmodels.device import Device as Device
from hwmodels.drift import drift_to as drift_to
from hwmodels.drift import global_drift_compensation as global_drift_compensation
from hwmodels.errors import UserError as UserError
from hwmodels.faults import fault_map as fault_map
from hwmodels.fitting import DeviceFit as DeviceFit
from hwmodels.fitting import fit_device as fit_device
from hwmodels.library import Library as Library
from hwmodels.mismatch import program as program
from hwmodels.mismatch import program_reference as program_reference
from hwmodels.programming import Written as Written
from hwmodels.programming import write_verify as write_verify
from hwmodels.reading import conductances_at as conductances_at
from hwmodels.reading import read_noise as read_noise
from hwmodels.reading import read_noise_of_sum as read_noise_of_sum
from hwmodels.reading import read_sigma as read_sigma
from hwmodels.reading import telegraph_noise as telegraph_noise
from hwmodels.scaling import at_node as at_node
