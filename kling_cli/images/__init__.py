"""Pictures read and checked before anything is sent."""
