"""Alert rules, evaluated on the device as the fleet's Prometheus evaluates them."""
