"""Generated wire code; the contract is in the .proto files beside it."""
