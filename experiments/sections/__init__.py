"""The sections of a configuration: what keys there are, one frozen and strict type each."""
