"""Which modules of the package each command really imports, told by Python itself: what stands in sys.modules afterwards.

    python imported.py COMMAND ...

A command's own imports are executed, its body is not; so what a function imports when it is called does not appear. Prints JSON.
"""

import ast
import inspect
import json
import sys
import textwrap

PACKAGE = "resdavenet_vq"


def loaded():
    """The package's modules that are loaded, relative to it."""
    return {name.removeprefix(f"{PACKAGE}.") for name in sys.modules if name.startswith(f"{PACKAGE}.")}


def callbacks():
    """The function of each command."""
    from resdavenet_vq import __main__  # noqa: F401 - adds the commands
    from resdavenet_vq.commands import app

    return {c.name or c.callback.__name__.replace("_", "-"): c.callback for c in app.registered_commands}


def run_imports(callback):
    """Executes the imports in a function's body."""
    source = textwrap.dedent(inspect.getsource(callback))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), callback.__name__, "exec"), {})


def main():
    commands = callbacks()
    started = loaded()
    found = {}
    for name in sys.argv[1:]:
        for module in sorted(loaded() - started, reverse=True):
            parent, _, child = f"{PACKAGE}.{module}".rpartition(".")
            delattr(sys.modules[parent], child)  # where `from PACKAGE import module` would find it
            del sys.modules[f"{PACKAGE}.{module}"]
        run_imports(commands[name])
        found[name] = sorted(loaded())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
