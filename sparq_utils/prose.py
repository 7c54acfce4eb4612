"""Numbers for sentences: a page's prose takes what a cell computed, and nothing is typed twice."""

import numpy as np


def say(**values: str | int) -> None:
    """Give numbers to the prose: `say(accuracy=f"{100 * a:.2f} %")`.

    On the built page a sentence takes it with the role `glue:text` and the cell shows nothing; in
    JupyterLab the cell shows `accuracy: 98.20 %`. Outside IPython nothing happens. Integers get
    thousands separators; a float is refused (`TypeError`), its digits being the caller's to choose.
    """
    said = {name: _text(name, value) for name, value in values.items()}
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is None:
        return
    prefix = "application/papermill.record/"  # MyST-NB files such output away under its name
    for name, text in said.items():
        bundle = {prefix + "text/plain": repr(text), "text/plain": f"{name}: {text}"}
        display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": prefix}})


def _text(name: str, value: str | int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    raise TypeError(f"{name} is a {type(value).__name__}: format it, as in f'{{{name}:.2f}}'")
