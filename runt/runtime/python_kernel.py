"""Starts ipykernel for runt, in the kernel's own Python, which need not have runt.

Run as a script by path: standard library and ipykernel (6 or later) only; never imported by runt. Against
``-m ipykernel_launcher`` it loads no debugger (a quarter of the start-up time), never drops output
(ipykernel's own send limit is 1000 messages), does not end with its parent, and leaves IPython's shared
history file alone (the source of the slowest replies). The invariant: user code sees what it would see in
Jupyter.
"""

import sys

# Python put this file's directory first: user code must not import our modules by accident.
if sys.path and sys.path[0] == __file__.rpartition("/")[0]:
    del sys.path[0]

import os
import types

HISTORY_OFF = "--HistoryManager.enabled=False"


def hide_debugger() -> None:
    """Let ipykernel believe that debugpy is not installed, without importing it."""
    stub = types.ModuleType("ipykernel.debugger")
    stub._is_debugpy_available = False  # type: ignore[attr-defined]
    stub.Debugger = type("Debugger", (), {})  # type: ignore[attr-defined]
    sys.modules["ipykernel.debugger"] = stub


def main() -> None:
    """Run the kernel until it is told to stop."""
    # With it set, ipykernel polls its parent every second and exits when that is gone.
    os.environ.pop("JPY_PARENT_PID", None)
    hide_debugger()
    import zmq
    from ipykernel.kernelapp import IPKernelApp

    class Kernel(IPKernelApp):
        def init_iopub(self, context: zmq.Context) -> None:  # type: ignore[type-arg]
            # A default for sockets made from here on; taken back for the others.
            context.sndhwm = 0
            super().init_iopub(context)  # type: ignore[no-untyped-call]
            context.sockopts.pop(zmq.SNDHWM, None)

    sys.argv.append(HISTORY_OFF)
    Kernel.launch_instance()


if __name__ == "__main__":
    main()
