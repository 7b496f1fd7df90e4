"""Which modules of Python the commands import before they begin their work.

    python started.py COMMAND ...

Each command's own imports are executed in a process of its own, forked from one that has imported the command line; its body
is not, so what a function imports when it is called does not appear. Prints JSON: of each command the names of modules.
"""

import ast
import inspect
import json
import os
import sys
import textwrap


def imports_of(callback):
    """The import statements of a command."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(callback)))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, nodes))


def in_a_fork(code):
    """The names of all modules that are loaded after some code, which runs in a process of its own."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            exec(code, {})
            with os.fdopen(writer, "w") as file:
                file.write("\n".join(sys.modules))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        names = file.read().split("\n")
    os.wait()
    return names


def main():
    from resdavenet_vq import __main__  # noqa: F401 - adds the commands
    from resdavenet_vq.commands import app

    callbacks = {c.name or c.callback.__name__.replace("_", "-"): c.callback for c in app.registered_commands}
    names = sys.argv[1:] or sorted(callbacks)
    code = {name: imports_of(callbacks[name]) for name in names}
    loaded = {statements: in_a_fork(statements) for statements in dict.fromkeys(code.values())}
    print(json.dumps({"": list(sys.modules), **{name: loaded[code[name]] for name in names}}))


if __name__ == "__main__":
    main()
