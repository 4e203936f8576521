"""Sources: third-party clients, each turned into a function that returns plain values for Root.call."""
