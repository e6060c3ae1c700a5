"""Imported by every interpreter that finds this folder on PYTHONPATH: brings faults into an unchanged program.

``ARCLYD_FAULT_RING``: another build of the C core, to be used in the place of the installed one.
``ARCLYD_FAULT_RAISE``: "module:Class.method:file", a method that raises once whenever that file exists.
"""

import functools
import importlib.abc
import importlib.util
import os
import sys


class FaultBuild(importlib.abc.MetaPathFinder):
    """Finds `arclyd.ring._ring` where ARCLYD_FAULT_RING says."""

    def find_spec(self, name, path=None, target=None):
        if name != "arclyd.ring._ring":
            return None
        return importlib.util.spec_from_file_location(name, os.environ["ARCLYD_FAULT_RING"])


class Raising(importlib.abc.MetaPathFinder):
    """Has a method replaced as soon as its module is imported."""

    def __init__(self, said):
        self.module, self.method, self.flag = said.split(":")

    def find_spec(self, name, path=None, target=None):
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_replace(module):
            execute(module)
            owner, method = self.method.split(".")
            self.replace(getattr(module, owner), method)

        spec.loader.exec_module = execute_and_replace
        return spec

    def replace(self, owner, method):
        sound = getattr(owner, method)

        @functools.wraps(sound)
        def unsound(*args, **kwargs):
            if os.path.exists(self.flag):
                os.unlink(self.flag)
                raise RuntimeError("a fault was asked for")
            return sound(*args, **kwargs)

        setattr(owner, method, unsound)


if "ARCLYD_FAULT_RING" in os.environ:
    sys.meta_path.insert(0, FaultBuild())
if "ARCLYD_FAULT_RAISE" in os.environ:
    sys.meta_path.insert(0, Raising(os.environ["ARCLYD_FAULT_RAISE"]))
