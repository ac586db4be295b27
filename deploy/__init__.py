"""Ways to run the stack: the local launcher and the manifests."""
