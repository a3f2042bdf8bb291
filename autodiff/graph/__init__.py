"""The graph: nodes and edges, wait sets, gradient sums. It knows no arithmetic."""
