"""How cells behave: conductances and levels, programming error, faults, reading, drift, measured devices."""
