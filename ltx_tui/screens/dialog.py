"""How the dialogs look that ask something over the screen: a box in its middle."""

from __future__ import annotations

from textual.screen import ModalScreen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    """A box, `#box`, as high as what is in it; others say how much room their parts have."""

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;
        #box {
            width: 72; max-width: 96%; height: auto; max-height: 90%;
            border: round $primary; background: $surface; padding: 0 1;
        }
        Board { height: 8; background: $surface; }
        Input { background: $panel; }
    }
    """
