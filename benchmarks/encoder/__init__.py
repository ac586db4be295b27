"""What the encoder costs: the graph alone, through the service, and beside other software."""
