"""OpenTelemetry push: readings, probe rounds and alert flips as OTLP, and the client that delivers them."""
