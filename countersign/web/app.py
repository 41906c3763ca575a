"""The web application of one house: headers, who is asking, errors in words, and its two faces."""

from __future__ import annotations

import gc
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from core.errors import ClockUntrusted, CountersignError, NotAuthenticated
from core.ledger_words import utc
from core.trials.queries import demonstrations_of
from core.work import release
from countersign.disk import system_error
from countersign.house import House
from countersign.web import words
from countersign.web.accounts import Passwords, Session, session_of
from countersign.web.watch import Watch

if TYPE_CHECKING:
    from countersign.web.signing import Waiting

HERE = Path(__file__).parent
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
       "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
HEADERS = {
    "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LARGEST_BODY = 64 * 1024
# Files that show something come with forms of these pages alone, from people who are logged in.
LARGEST_UPLOAD = 20 * 1024 * 1024
UPLOADS = ("/validation/", "/quality/")


class LogInFirst(Exception):
    """A page was asked for by nobody."""


@dataclass(slots=True)
class Site:
    """What every page needs: the house, its watch, its templates, and whether cookies may travel only over TLS.

    `to_sign` and `new_passkeys` are pages under way, and the challenges under which browsers make passkeys.
    """

    house: House
    watch: Watch
    templates: jinja2.Environment
    passwords: Passwords
    tls: bool
    to_sign: dict[str, Waiting] = field(default_factory=dict)
    new_passkeys: dict[str, bytes] = field(default_factory=dict)
    paths: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def cookie(self) -> str:
        # The prefix makes a browser refuse the cookie without TLS, a path or a foreign domain.
        return "__Host-countersign" if self.tls else "countersign"

    def page(self, request: Request, name: str, session: Session | None, status: int = 200, **things: Any) -> Response:
        """Render a template with what the frame of every page shows."""
        try:
            now = utc(self.house.desk.clock.now())
        except ClockUntrusted:
            now = "the clock is not trusted"
        demonstrations: tuple[str, ...] = ()
        if session is not None:
            with self.house.desk.reading() as tables:
                demonstrations = demonstrations_of(tables, session.user)
        text = self.templates.get_template(name).render(
            request=request, path=partial(self._path, request), session=session, now=now, release=release(),
            watch=self.watch.last, demonstrations=demonstrations,
            ends=utc(session.ends_us)[11:16] if session else "", **things)
        return HTMLResponse(text, status)

    def _path(self, request: Request, name: str) -> str:
        """The path of a page without parameters; looked up once, as each page names a dozen."""
        asked = request.scope.get("root_path", ""), name
        if asked not in self.paths:
            self.paths[asked] = request.url_for(name).path
        return self.paths[asked]


def settle() -> None:
    """What start-up made lives as long as the process: set aside, it is not walked again by each full collection of
    garbage, for which a page would wait 0.1 s and more."""
    gc.collect()
    gc.freeze()


def build_app(house: House, *, tls: bool = False, watching: bool = True) -> FastAPI:
    """The application over an opened house; `watching` starts the regular look through the record."""
    settings = house.settings
    passwords = Passwords(settings.password_memory_kib, settings.password_passes, settings.password_lanes)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    templates.filters.update(words.FILTERS)
    templates.globals["url_for_static"] = lambda name: f"/static/{name}"
    site = Site(house, Watch(house.desk), templates, passwords, tls)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if watching:
            site.watch.start()
        yield
        site.watch.stop()

    from countersign.web import (
        api,
        corrections,
        drift,
        exports,
        keys,
        models,
        pages,
        past,
        periodic,
        procedures,
        quality,
        reviews,
        signing,
        training,
        validation,
    )

    # Documentation pages would need script and style from elsewhere; the description itself is enough.
    app = FastAPI(title="Countersign", version=release(), openapi_url="/api/v1/openapi.json", docs_url=None,
                  redoc_url=None, lifespan=lifespan)
    app.state.site = site
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for page in (corrections, drift, exports, past, models, validation, quality, periodic, reviews, procedures,
                 signing, training, keys, pages):
        app.include_router(page.router)
    app.include_router(api.router)
    app.middleware("http")(_guard)
    app.add_exception_handler(LogInFirst, _to_login)
    app.add_exception_handler(CountersignError, _in_words)
    app.add_exception_handler(HTTPException, _in_words)
    app.add_exception_handler(RequestValidationError, _in_words)
    app.add_exception_handler(Exception, _in_words)
    return app


def the_site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def somebody(request: Request) -> Session | None:
    """Who is logged in, or None."""
    site = the_site(request)
    return session_of(site.house.desk, request.cookies.get(site.cookie))


def the_person(request: Request) -> Session:
    """Who is logged in; everybody else logs in first (pages) or is told so (API)."""
    session = somebody(request)
    if session is None:
        if request.url.path.startswith("/api/"):
            raise NotAuthenticated("Nobody is logged in.", next_step="Log in at /login; the API uses the same session.")
        raise LogInFirst
    return session


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Headers on every answer; refuses bodies that are too large and forms sent by other sites."""
    refusal = _foreign(request, await _largest(request))
    response = JSONResponse({"error": "refused", "fact": refusal}, 403) if refusal else await call_next(request)
    for name, value in HEADERS.items():
        response.headers[name] = value
    if request.url.path.startswith("/static/"):
        response.headers["Cache-Control"] = "public, max-age=3600"
    return response


async def _largest(request: Request) -> int:
    """Bytes that a form may have."""
    if not request.url.path.startswith(UPLOADS) or "multipart/form-data" not in request.headers.get("content-type", ""):
        return LARGEST_BODY
    return LARGEST_UPLOAD if await run_in_threadpool(somebody, request) is not None else LARGEST_BODY


def _foreign(request: Request, largest: int) -> str | None:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > largest or "transfer-encoding" in request.headers:
        return f"A form of this size is not accepted; the most is {largest // 1024} KiB. Nothing was recorded."
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    # Under `no-referrer` a browser sends the origin of our own forms as "null"; then its Sec-Fetch-Site must vouch.
    allowed = (None, own, "null") if site == "same-origin" else (None, own)
    if site not in (None, "same-origin", "none") or origin not in allowed:
        return "This form was sent by another site."
    return None


def same_token(given: str, own: str) -> bool:
    """Whether a form's hidden token is the session's."""
    return secrets.compare_digest(given.encode(), own.encode())


def _to_login(request: Request, _: Exception) -> Response:
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(request.url_for("login").include_query_params(next=target), 303)


def _in_words(request: Request, problem: Exception) -> Response:
    """Every error as fact and next step: a page for people, JSON for machines."""
    if isinstance(problem, OSError):
        problem = system_error(problem) or problem
    status, code = 500, "error"
    fact, following = "The server could not answer.", "Nothing was changed. Try again, then call the help desk."
    if isinstance(problem, CountersignError):
        status, code, fact, following = problem.http_status, problem.code, problem.fact, problem.next_step
    elif isinstance(problem, HTTPException):
        status, code = problem.status_code, "not-found" if problem.status_code == 404 else "error"
        fact, following = "There is no such page." if status == 404 else str(problem.detail), "Go back to the ledger."
    elif isinstance(problem, RequestValidationError):
        status, code = 422, "unusable-input"
        fact = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in problem.errors())
        following = "Correct the address; nothing was changed."
    else:
        logging.getLogger(__name__).error("unexpected", exc_info=problem)
    if request.url.path.startswith("/api/"):
        answer: Response = JSONResponse({"error": code, "fact": fact, "next_step": following}, status)
    else:
        try:
            session = somebody(request)
        except CountersignError:
            session = None
        answer = the_site(request).page(request, "error.html", session, status, fact=fact, following=following)
    # Unexpected errors are answered outside the guard, so it cannot add them.
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer
