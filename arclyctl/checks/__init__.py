"""What the doctor knows: a module for each place where something can be wrong, all giving findings.

``finding`` what a finding is; ``machine`` the kernel's memory, limits and clocks; ``daemon`` the socket and
who answers on it; ``regions`` what lies in shared memory.
"""
