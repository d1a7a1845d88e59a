"""The requests of a connection, from their heads to their answers: in turn, within their time, refused or answered."""

from __future__ import annotations

from collections import deque

from service.serving.server import refusals
from service.serving.server.answers import FOREVER, AnswerWriter
from service.serving.server.context import ServerContext
from service.serving.server.refusals import BODIES_FULL, FAULT, Refusal
from service.serving.server.request import Request
from service.serving.server.turns import RequestTurn
from service.serving.server.wsgi_bridge import WsgiAnswer


class RequestSequence(AnswerWriter):
    """The part of a connection that knows no parser."""

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        # The request that is being read; that which is being answered, if not by the loop; those that wait behind it.
        self.reading: Request | None = None
        self.answering: Request | None = None
        self.pipeline: deque[Request] = deque()
        self.head_complete = True
        self._reads = True
        self.body_deadline = FOREVER
        self.body_mark = 0

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.pipeline.clear()
        self.reading = None

    def eof_received(self) -> bool:
        """The client sends no more: it still gets the answers to what it sent."""
        self.ending = True
        return bool(self.answering or self.pipeline or self.write_paused)

    def refuse_request(self, request: Request, refusal: Refusal) -> None:
        """Answers in its turn, without the application; its body is read on and thrown away."""
        self.context.table.body_done(self, request.body_bytes)
        request.body.clear()
        request.response, request.discard = refusal, True
        announced = request.announced
        if refusal.close or request.continues or announced is None or announced > self.limits.drain_bytes:
            request.keep_alive = False
        self.pipeline.append(request)
        self.advance()

    def advance(self) -> None:
        """Answers the next request, unless one is being answered or the client does not read."""
        while self.pipeline and self.answering is None and not self.write_paused:
            if self.transport.is_closing():
                return
            request = self.pipeline.popleft()
            if request.response is not None:
                self._write_refusal(request, request.response)
            else:
                self.answering = request
                self.deadline = FOREVER
                RequestTurn(self, request).take()
        self._read_on(not self.pipeline or self.reading is not None)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.advance()

    def _read_on(self, wanted: bool) -> None:
        if wanted is self._reads or self.transport.is_closing():
            return
        self._reads = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def answered(self, request: Request, answer: WsgiAnswer | None) -> None:
        """The application has answered; None if it failed."""
        self.answering = None
        self.context.table.body_done(self, request.body_bytes)
        if self.transport.is_closing():
            return
        if answer is None:
            self._write_refusal(request, FAULT)
        else:
            self._closes(request, also=answer.close)
            self.send_head(answer.first, answer.head, answer.body, close=not request.keep_alive)
            self.after_answer(request)
        self.advance()

    def _write_refusal(self, request: Request, refusal: Refusal) -> None:
        self.context.refusals.count(refusal)
        self._closes(request, also=refusal.close)
        self.send_head(*refusal.raw(request.method), close=not request.keep_alive)
        self.after_answer(request)

    def _closes(self, request: Request, *, also: bool) -> None:
        if also or self.context.ending or (self.ending and not self.pipeline):
            request.keep_alive = False

    def after_answer(self, request: Request) -> None:
        """Its answer is written. If it was not read to its end, its sender gets time to read the answer."""
        if request.keep_alive:
            self.drained = 0
            begun = self.reading is not None and not self.head_complete
            self.deadline = self.since + (
                self.limits.head_seconds if begun else self.limits.keep_alive_seconds
            )
            return
        self.ending = True
        if request.complete:
            self.close()
        else:
            self.drain(0)

    # The end of a connection

    def refuse_head(self, refusal: Refusal) -> None:
        """Refuses at once, unless an earlier request is still being answered; then the connection ends after that."""
        self.reading = None
        if self.answering or self.pipeline:
            self.ending = True
        else:
            self.refuse_now(refusal)

    def end_after_answers(self) -> None:
        """Ends the connection once the requests so far are answered."""
        self.ending = True
        if not self.answering and not self.pipeline:
            self.close()

    def forget_body(self) -> None:
        if self.reading is not None:
            self.context.table.body_done(self, self.reading.body_bytes)
            self.reading = None

    def is_idle(self) -> bool:
        return self.answering is None and not self.pipeline and not self.write_paused

    def is_reading_body(self) -> bool:
        request = self.reading
        return request is not None and self.head_complete and not request.discard

    def give_up_body(self) -> None:
        self.forget_body()
        self.refuse_head(BODIES_FULL)

    def check(self, now: float) -> None:
        """Its time is over: ends it if its client does nothing."""
        request = self.reading
        if self.waits_for_reader(now):
            return
        if self.answering or self.pipeline:
            self.deadline = now + self.limits.send_seconds
        elif self.ending or request is None:
            self.close()
        elif not self.head_complete:
            self.refuse_head(refusals.too_slow("head", self.limits.head_seconds))
        elif request.discard:
            self.close()
        elif now >= self.body_deadline or request.body_bytes - self.body_mark < self.limits.rate_bytes:
            self.forget_body()
            self.refuse_head(refusals.too_slow("body", self.limits.body_seconds))
        else:
            self.body_mark = request.body_bytes
            self.deadline = min(now + self.limits.rate_seconds, self.body_deadline)

    def shutdown(self, *, hang_up: bool) -> None:
        """The server ends: what came is answered. `hang_up`: clients that do not read have had their time."""
        if self.transport.is_closing() or self.write_paused:
            if hang_up:
                self.transport.abort()
        elif self.is_idle() and self.reading is None:
            self.close()
