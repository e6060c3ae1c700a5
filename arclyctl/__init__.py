"""`arclyctl`: looks at a running arclyd and steers it. Knows the client library and its messages, nothing below.

``cli`` the command and its table of verbs, ``commands/`` a module per verb, ``context`` what a verb gets,
``render`` and ``units`` how things look, ``types`` arguments that complete from the live daemon,
``diagnosis`` what the doctor knows.
"""
