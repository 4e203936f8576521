"""PromQL on the device: the documented subset of Prometheus 3, evaluated at one moment with the same results."""
