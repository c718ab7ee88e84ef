"""What stands between a socket and a service's protocol."""
