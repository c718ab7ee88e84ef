"""The web: a page to look at, an API to ask, WebSocket to every stream service, metrics."""
