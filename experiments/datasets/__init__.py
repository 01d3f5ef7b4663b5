"""Readers of data set files: nothing is downloaded and nothing is ever written into a data folder."""
