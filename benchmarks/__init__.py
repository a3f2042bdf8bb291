"""How fast autodiff is, against NumPy, hand-written C and other libraries; see README.md."""
