"""What the dock does beside the engine: the tour of suggestions, the review of a region, quality,
and the look of the view. GUI thread only; reading and measuring run on a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_xce.errors import XceError
from napari_xce.evaluation.progress import forecast
from napari_xce.evaluation.quality import doubts
from napari_xce.viewer import keys
from napari_xce.viewer.region_walk import RegionWalk
from napari_xce.viewer.tour import HINT, YES_HINT, Tour
from napari_xce.widgets.jobs import Jobs
from napari_xce.widgets.strip import SLOTS

if TYPE_CHECKING:
    from napari_xce.engine import SuggestionsReady
    from napari_xce.viewer.binding import Binding
    from napari_xce.widgets.face import Face

#: Seconds between two looks at whether the view is like what was learnt from.
LOOK_SECONDS = 4.0
#: Seconds between two measurements that nobody asked for, and clicks between them.
MEASURE_SECONDS, MEASURE_CLICKS = 20.0, 5


class Guide:
    """Leads the user; made by the dock, which it shows things in.

    Parameters
    ----------
    face : Face
        The dock.
    attempt : callable
        Does something and shows an error of ours in words.

    Attributes
    ----------
    tour : Tour
        Of suggested places.
    walk : RegionWalk or None
        Through a region that is being reviewed.
    jobs : Jobs
        Reading and measuring; exports wait elsewhere.
    """

    def __init__(self, face: Face, attempt: Callable[[Callable[[], Any]], Any]) -> None:
        self._face = face
        self._attempt = attempt
        self.jobs = Jobs()
        self.tour = Tour()
        self.walk: RegionWalk | None = None
        self._asked = False  # for suggestions, which have not come yet
        self._looked: object = None
        self._looked_at = 0.0
        self._measured_at = 0.0
        self._measured_clicks = -1
        self._measuring = False
        self._shown: object = None  # of the tour
        face.suggest.suggest.connect(self.suggest_next)
        face.suggest.chosen.connect(self.look_at)
        face.suggest.answered.connect(self.answer)
        face.quality.review.connect(self.review)
        face.quality.measure.connect(self.measure)
        face.quality.stepped.connect(self.step)
        face.quality.completed.connect(self.complete)
        face.quality.cancelled.connect(self.leave_region)

    @property
    def _binding(self) -> Binding | None:
        return self._face.annotator.binding

    # ---- life

    def tick(self) -> None:
        """Show what the worker brought, and look at the view now and then."""
        for job in self.jobs.finished():
            self._finish(job)
        self._show_tour()
        if self._binding is not None:
            self._look_at_view()
            self._measure_sometimes()

    def _finish(self, job: Any) -> None:
        try:
            if not job.stop.is_set():
                job.show(job.future.result())
        except XceError as error:  # of a slide that cannot be read, say
            self._face.show_error_once(str(error))
        finally:
            if job.what == "quality":
                self._measuring = False

    def changed_slide(self) -> None:
        """Begin anew on another slide, perhaps of another session: the last one may be closed."""
        self.jobs.forget()
        self._measuring = False
        self.leave_region()
        self.tour.end()
        self._asked = False
        self._looked = None
        self._measured_clicks = -1
        self._face.suggest.strip.offer([])
        self._face.suggest.show_reason("")
        self._face.suggest.show_answers(None)
        self._face.unlike.setVisible(False)
        session = self._face.annotator.session
        self._face.quality.forget()
        if session is not None:
            self._face.quality.show_curve(session.learning_curve(), "")

    def close(self) -> None:
        """Wait for the worker and let go of the slide. May be called twice."""
        self.leave_region()
        self.tour.end()
        self.jobs.close()

    # ---- where next

    def suggest_next(self) -> None:
        """Go to the next suggestion; ask for more where there is none."""
        annotator, binding = self._face.annotator, self._binding
        if annotator.engine is None or binding is None:
            self._face.show_note("Choose a slide first")
            return
        if binding.corrections.mode:
            binding.corrections.leave()  # or its keys would go on to mean what they meant there
        if not self.tour.next():
            self._asked = True
            self._face.suggest.show_reason("Looking for the places where a click helps most…")
            box = None if self._face.suggest.whole.isChecked() else binding.box
            annotator.engine.suggest(binding.slide_id, SLOTS, box)
        self._show_tour()

    def take(self, message: SuggestionsReady) -> None:
        """Show suggestions that came, and ask about the first."""
        binding = self._binding
        if binding is None or message.slide_id != binding.slide_id or not self._asked:
            return
        self._asked = False
        self.tour.begin(binding, message.suggestions)
        self._face.suggest.strip.offer([s.reason for s in message.suggestions])
        if not message.suggestions:
            self._face.suggest.show_reason(
                "No suggestion: everything here was looked at. Tick “whole slide”, or move on."
            )
            return
        for index, suggestion in enumerate(message.suggestions):
            self.jobs.start(
                "picture",
                partial(binding.session.crop, suggestion.yx, binding.slide_id),
                partial(self._show_picture, suggestion, index),
            )
        self.tour.next()
        self._show_tour()

    def look_at(self, index: int) -> None:
        """Go to a suggestion of the strip."""
        if index < len(self.tour.suggestions) and self._binding is not None:
            self.tour.look_at(index)
            self._show_tour()

    def answer(self, key: str) -> bool:
        """Say something of the suggested place by a key; False where none is asked about."""
        if self.tour.place is None:
            return False
        if key == keys.LEAVE:
            self.tour.leave()
        elif key in (keys.ACCEPT, keys.REJECT, keys.NOTHING, keys.STEP, *keys.DIGITS):
            return self._say(key)
        else:
            return False
        self._show_tour()
        return True

    def _say(self, key: str) -> bool:
        tour, binding = self.tour, self._binding
        assert tour.place is not None
        assert binding is not None
        if key == keys.ACCEPT and not tour.place.guess:
            self._face.show_note("The model has no guess: press the digit of a class, or X")
            return True
        name = ""
        if key in keys.DIGITS:
            names = [c.name for c in binding.session.classes if (c.key or "0") == key]
            if not names:
                self._face.show_note(f"No class has the key {key}")
                return True
            name = names[0]
        acts = {keys.ACCEPT: tour.accept, keys.NOTHING: tour.nothing_here, keys.STEP: lambda: None}
        self._attempt(acts.get(key, partial(tour.name, name)))
        self.suggest_next()
        return True

    def _show_picture(self, suggestion: Any, index: int, pixels: Any) -> None:
        if index < len(self.tour.suggestions) and self.tour.suggestions[index] is suggestion:
            self._face.suggest.strip.show_picture(index, pixels)
            self._face.suggest.strip.show_current(self.tour.current, self.tour.done)

    def _show_tour(self) -> None:
        """Show which place is asked about and why."""
        box, place = self._face.suggest, self.tour.place
        state = (place, self.tour.current, tuple(self.tour.done), self._asked)
        if state == self._shown:
            return
        self._shown = state
        if place is not None:
            hint = HINT if place.guess else HINT.removeprefix(YES_HINT)
            box.show_reason(f"{place.reason}\n{hint}")
        elif not self._asked and self.tour.suggestions:
            box.show_reason("")
        box.show_answers(None if place is None else place.guess)
        box.strip.show_current(self.tour.current if place is not None else None, self.tour.done)

    # ---- reviewing a region

    def review(self) -> None:
        """Let the user draw a rectangle, and then lead through it."""
        binding = self._binding
        if binding is None:
            self._face.show_note("Choose a slide first")
            return
        self.leave_region()
        self.tour.leave()
        self.walk = RegionWalk(binding, self._show_walk)
        self._show_walk()

    def step(self, by: int) -> None:
        """Go to the next or the last part of the region."""
        if self.walk is not None:
            self.walk.step(by)

    def complete(self, set_aside: bool) -> None:
        """Declare the region complete."""
        walk, binding = self.walk, self._binding
        if walk is None or walk.box is None or binding is None:
            return
        y0, x0, y1, x1 = walk.box
        session, slide_id = binding.session, binding.slide_id
        self.leave_region()
        self._attempt(lambda: session.complete(((y0, x0), (y1, x1)), slide_id, set_aside))
        binding.show_said()
        self.measure()

    def leave_region(self) -> None:
        """Take the drawn rectangle away."""
        if self.walk is not None:
            self.walk.close()
            self.walk = None
        self._face.quality.show_walk(None)

    def _show_walk(self) -> None:
        if self.walk is not None:
            self._face.quality.show_walk(self.walk.words(), self.walk.is_last)

    # ---- how good

    def measure(self) -> None:
        """Measure in the reviewed regions, on the worker."""
        binding = self._binding
        if binding is None:
            self._face.show_note("Choose a slide first")
            return
        if self._measuring:
            return
        self._measuring = True
        self._face.quality.show_words("Comparing with the reviewed regions…")
        session = binding.session
        self._measured_at, self._measured_clicks = time.monotonic(), self._clicks()

        def job() -> Any:
            try:
                quality = session.quality()
            except XceError as error:
                return str(error)
            return quality, session.learning_curve()

        self.jobs.start("quality", job, self._show_quality)

    def _show_quality(self, result: Any) -> None:
        if isinstance(result, str):
            self._face.quality.show_words(result)
            return
        quality, curve = result
        self._face.quality.show_quality(quality, doubts(quality))
        self._face.quality.show_curve(curve, forecast(curve))

    def _clicks(self) -> int:
        session = self._face.annotator.session
        return len(session.store.annotations()) if session is not None else 0

    def _measure_sometimes(self) -> None:
        """Measure again once more was said, where there was something to measure in."""
        box = self._face.quality
        grown = abs(self._clicks() - self._measured_clicks) >= MEASURE_CLICKS
        due = time.monotonic() - self._measured_at > MEASURE_SECONDS
        if box.has_measured and grown and due and not self._measuring and self.walk is None:
            self.measure()

    # ---- is the view like what was learnt from

    def _look_at_view(self) -> None:
        """Compare the view with what was learnt from, not too often."""
        binding = self._binding
        assert binding is not None
        now = time.monotonic()
        state = (binding.slide_id, binding.box, binding.session.store.revision)
        if binding.box is None or state == self._looked or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked, self._looked_at = state, now
        self.jobs.start(
            "look",
            partial(binding.session.unlike, binding.slide_id, binding.box),
            self._show_unlike,
        )

    def _show_unlike(self, sentences: list[str]) -> None:
        words = "\n".join(sentences)
        if words != self._face.unlike.text():
            self._face.unlike.setText(words)
        self._face.unlike.setVisible(bool(words))
