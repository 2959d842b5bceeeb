"""How a frame looks: colours, style, a sensor's noise, the Lab space."""
