"""The flat code of a program: made, proved, printed, run by NumPy, loaded into C."""
