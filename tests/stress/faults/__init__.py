"""Faults at named places: the core's fault points, who is held, stopped or killed there, and what the others see."""
