"""What each key does on the canvas of a slide. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_xce.viewer import keys

if TYPE_CHECKING:
    from napari_xce.viewer.binding import Binding

Action = Callable[[], None]


def key_actions(binding: Binding) -> dict[str, Action]:
    """Return what each of our keys does; the binding's parts may be made later."""
    actions: dict[str, Action] = {
        keys.ACCEPT: lambda: binding.corrections.accept(),
        keys.REJECT: lambda: binding.corrections.reject(),
        keys.LASSO: lambda: binding.corrections.draw("add_polygon_lasso"),
        keys.RECTANGLE: lambda: binding.corrections.draw("add_rectangle"),
        keys.STEP: binding.step,
        keys.STEP_BACK: lambda: binding.corrections.step_back(),
        keys.LEAVE: lambda: binding.corrections.leave(),
        keys.SUGGEST: lambda: _suggest_or_step(binding),
        keys.NOTHING: lambda: binding.hooks.note("Press N: no place is asked about"),
        keys.UNDO: binding.undo,
        keys.REDO: binding.redo,
        keys.REDO_TOO: binding.redo,
    }
    for digit in keys.DIGITS:
        actions[digit] = _digit(binding, digit, lambda name: _choose_or_relabel(binding, name))
        actions[f"Control-{digit}"] = _digit(
            binding, digit, lambda name: binding.corrections.relabel(name)
        )
    return {key: _after_suggestions(binding, key, action) for key, action in actions.items()}


def _after_suggestions(binding: Binding, key: str, action: Action) -> Action:
    """While a suggested place is asked about, its answers go before other meanings of a key."""

    def press() -> None:
        if binding.corrections.mode or not binding.hooks.answer(key):
            action()

    return press


def _suggest_or_step(binding: Binding) -> None:
    if binding.corrections.mode == "walk":
        binding.step()
    else:
        binding.hooks.suggest()


def _choose_or_relabel(binding: Binding, name: str) -> None:
    if binding.corrections.takes_digits:
        binding.corrections.relabel(name)
    else:
        binding.set_class(name)


def _digit(binding: Binding, digit: str, use: Callable[[str], None]) -> Action:
    """Return what a digit key does with the name of its class."""

    def press() -> None:
        for found in binding.session.classes:
            if found.key == digit or (digit == "0" and found.id == 0):
                use(found.name)
                return
        binding.hooks.note(f"No class has the key {digit}")

    return press
