"""A reactor and stream transports that spend less on each event than Twisted's own; Linux alone has them."""
