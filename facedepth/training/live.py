"""Show a training run in the notebook while it goes on."""

from __future__ import annotations

import io
import sys

from ..figures import training_figure
from .callbacks import History, Pictures


class LiveTraining:
    """A callback for ``fit``: after every epoch, the curves and the validation faces as the network sees them now.

    One picture, redrawn in place; it stays in the notebook after training. Outside a notebook nothing is drawn.

        fd.fit(model, train, val, config, callbacks=[fd.LiveTraining()])
    """

    def __init__(self) -> None:
        self._shown = self._history = None  # the picture's handle, and the run it shows

    def __call__(self, history: History, pictures: Pictures) -> None:
        if not _in_notebook():
            return
        from IPython.display import Image, display

        buffer = io.BytesIO()
        training_figure(history, ["loss", "val_loss"], pictures).savefig(buffer, format="png")
        picture = Image(data=buffer.getvalue())
        if self._history is not history:  # another run: its picture must not take the place of the last one's
            self._history, self._shown = history, display(picture, display_id=True)
        else:
            self._shown.update(picture)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:  # then no notebook has started this process
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")
