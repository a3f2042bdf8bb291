"""Functions of parameters, as statisticians write them: value, gradient, Hessian, Jacobian."""
