"""What functions of NumPy's and SciPy's do with nodes: found out by calling each of them."""
