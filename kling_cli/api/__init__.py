"""The endpoints of the service, and what its answers mean."""
