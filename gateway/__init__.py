"""The public service: from a query to the best passages, with an account of the time.

Imports neither faiss nor onnxruntime; knows the servers behind it by small Protocols (`ports`).
"""
