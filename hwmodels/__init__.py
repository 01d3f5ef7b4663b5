"""Physics and cost of the parts of a memristor crossbar: devices, their mismatch, and what peripherals take.

Numbers in, numbers out: nothing here knows a network. The compiled kernels and pandas load on first use.
"""

from hwmodels.costs.adc_bits import required_adc_bits as required_adc_bits
from hwmodels.costs.adc_bits import required_adc_bits_of as required_adc_bits_of
from hwmodels.costs.cost import Estimate as Estimate
from hwmodels.costs.cost import estimate as estimate
from hwmodels.costs.cost import prepare as prepare
from hwmodels.costs.dense_tiles import Matrix as Matrix
from hwmodels.costs.dense_tiles import dense_tiles as dense_tiles
from hwmodels.costs.library import Library as Library
from hwmodels.costs.scaling import at_node as at_node
from hwmodels.devices.conduction import cell_current as cell_current
from hwmodels.devices.conduction import chord_conductance as chord_conductance
from hwmodels.devices.conduction import conductance_from_chord as conductance_from_chord
from hwmodels.devices.conduction import differential_conductance as differential_conductance
from hwmodels.devices.conduction import linear_model_error as linear_model_error
from hwmodels.devices.device import Device as Device
from hwmodels.devices.drift import drift_to as drift_to
from hwmodels.devices.drift import global_drift_compensation as global_drift_compensation
from hwmodels.devices.faults import fault_map as fault_map
from hwmodels.devices.fitting import DeviceFit as DeviceFit
from hwmodels.devices.fitting import fit_device as fit_device
from hwmodels.devices.mismatch import program as program
from hwmodels.devices.mismatch import program_reference as program_reference
from hwmodels.devices.programming import Written as Written
from hwmodels.devices.programming import write_verify as write_verify
from hwmodels.devices.reading import conductances_at as conductances_at
from hwmodels.devices.reading import read_noise as read_noise
from hwmodels.devices.reading import read_noise_of_sum as read_noise_of_sum
from hwmodels.devices.reading import read_sigma as read_sigma
from hwmodels.devices.reading import telegraph_noise as telegraph_noise
from hwmodels.errors import UserError as UserError
