"""What every benchmark is run by: real processes, one flow control, one check, one way to report."""
