"""Modules of torch that hide their matrices, written as linear layers and digital operations that compute the same."""

from mapping.rewriting.rewrite import LEAVES as LEAVES
from mapping.rewriting.rewrite import digital_rest as digital_rest
from mapping.rewriting.rewrite import replaced as replaced
from mapping.rewriting.rewrite import rewritable as rewritable
from mapping.rewriting.rewrite import rewritten as rewritten
