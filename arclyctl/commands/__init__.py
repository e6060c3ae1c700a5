"""A module per verb of `arclyctl`; each is listed in `arclyctl.cli.VERBS`."""
