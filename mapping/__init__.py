"""From a network to its placement on arrays, and the network that runs there."""

from mapping.avoiding_faults import FaultAware as FaultAware
from mapping.avoiding_faults import avoid_faults as avoid_faults
from mapping.avoiding_faults import recovered as recovered
from mapping.avoiding_faults import weight_errors as weight_errors
from mapping.conditions import Conditions as Conditions
from mapping.converter_bits import lossless_bits as lossless_bits
from mapping.freeing import feeds as feeds
from mapping.hardware_aware import HardwareAware as HardwareAware
from mapping.hardware_aware import wrap as wrap
from mapping.layers_on_arrays import LayersOnArrays as LayersOnArrays
from mapping.network import CrossbarNetwork as CrossbarNetwork
from mapping.onnx import from_onnx as from_onnx
from mapping.place import place as place
from mapping.placement import Placement as Placement
from mapping.placement_diff import diff as diff
from mapping.placing import Placing as Placing
from mapping.preparing import prepare as prepare
from mapping.replication import replicate as replicate
from mapping.stuck import stuck_weights as stuck_weights
