"""The soak: everything comes, goes, lags and dies at random, and nothing is left over: ``python -m tests.soak``."""
