"""Support for the tests: loopback servers for service and network, and a clock."""
