"""What the parts around the cells take: component libraries, converters, area, energy, power, latency."""
