"""The words of the dock: what to do next, and the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_xce.annotations import BACKGROUND

if TYPE_CHECKING:
    from napari_xce.widgets.annotator import Annotator

ENOUGH_CLICKS = 3

HELP = """
<h3>Click a few cells, see them all</h3>
<table cellpadding="3">
<tr><td><b>click</b></td><td>a cell of the current class (a tiny drag is still a click)</td></tr>
<tr><td><b>1 … 9</b></td><td>switch to the class with that key</td></tr>
<tr><td><b>0</b></td><td>background: click what is not a cell of any class</td></tr>
<tr><td><b>A</b></td><td>accept the predicted cell under the cursor</td></tr>
<tr><td><b>X</b></td><td>reject it: no cell of any class; on your own click, delete that</td></tr>
<tr><td><b>Ctrl+1 … 9</b></td><td>it is of another class</td></tr>
<tr><td><b>Space</b></td><td>step through the predicted cells in view, the most doubtful first:
<b>A</b> yes, <b>X</b> no, <b>1 … 9</b> another class, <b>Space</b> or <b>N</b> skip, <b>B</b> back,
<b>Esc</b> end</td></tr>
<tr><td><b>L</b>, <b>R</b></td><td>draw a lasso or a rectangle, then <b>A</b>, <b>X</b> or
<b>1 … 9</b> for all cells in it</td></tr>
<tr><td><b>N</b></td><td>show where to click next, and why; then <b>A</b> yes, <b>X</b> no,
<b>1 … 9</b> another class, <b>E</b> nothing here, <b>Space</b> skip, <b>Esc</b> leave</td></tr>
<tr><td><b>Ctrl+Z</b></td><td>undo anything you said, without limit, also after reopening</td></tr>
<tr><td><b>Ctrl+Shift+Z</b></td><td>redo</td></tr>
<tr><td><b>S</b>, <b>P</b></td><td>select and move clicks; back to adding</td></tr>
<tr><td><b>F6</b></td><td>from the canvas to the dock and back; Tab goes through the dock</td></tr>
<tr><td><b>?</b></td><td>this help</td></tr>
</table>
<p>A predicted cell has the wrong class? Click it with the right one. What you do not click is
<i>unknown</i>, not background: there is no need to click everything.</p>
"""


def next_step(annotator: Annotator, clicks: int, learnt: bool) -> str:
    """Return one line that says what to do next."""
    if annotator.waiting is not None:
        return "First: how wide is a cell? Zoom in, fit the yellow ring to one, press Use."
    binding = annotator.binding
    if binding is None:
        return "Start here: open a slide, or choose an image below."
    if clicks < ENOUGH_CLICKS and binding.current == BACKGROUND:
        alone = all(found.id == 0 for found in binding.session.classes)
        return f"1. {'Add' if alone else 'Choose'} a class of cells to find."
    if clicks < ENOUGH_CLICKS:
        more = "Zoom in and click a few cells" if clicks == 0 else "Click a few more cells"
        return f"1. {more} of the class “{binding.current}”."
    if not annotator.learning:
        return "2. Press Learn. Then go on clicking: it follows."
    if learnt:
        return "3. Learnt. Click where it is wrong, X on false ones, or press N for where to look."
    return "3. Click missed cells, X on false ones, Space to go through the doubtful."
