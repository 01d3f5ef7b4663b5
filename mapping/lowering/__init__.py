"""A layer as input vectors times a matrix: what of a network arrays can compute, and how it becomes that."""

from mapping.lowering.geometry import Geometry as Geometry
from mapping.lowering.recognition import geometry as geometry
from mapping.lowering.recognition import is_hf_conv1d as is_hf_conv1d
from mapping.lowering.recognition import why_not_mappable as why_not_mappable
