"""The test ground: servers on loopback that play the service and the network, and a clock."""
