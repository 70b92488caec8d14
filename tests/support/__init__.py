"""What the tests stand on: servers on loopback for service and network, and a clock."""
