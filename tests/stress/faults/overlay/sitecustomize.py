"""Imported by every interpreter that finds this folder on PYTHONPATH: puts the fault build in the module's place."""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys


class FaultBuild(importlib.abc.MetaPathFinder):
    """Finds `arclyd.ring._ring` where ARCLYD_FAULT_RING says."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def] # as the base class has it
        if name != "arclyd.ring._ring":
            return None
        return importlib.util.spec_from_file_location(name, os.environ["ARCLYD_FAULT_RING"])


if "ARCLYD_FAULT_RING" in os.environ:
    sys.meta_path.insert(0, FaultBuild())
