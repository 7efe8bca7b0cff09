"""The page's server: what the browser may ask for. It listens on this machine alone unless told otherwise.

GET /                   the page, with its style, its program and the models in it
POST /jobs              the body is a recording; answers with the job
GET /jobs/ID            how far it is; when it is done, the pictures
GET /jobs/ID/FILE       a wav or who speaks when as RTTM, to play or with ?download to keep
DELETE /jobs/ID         stops it and removes its files
"""

import functools
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mindaudio_ext.errors import InputError
from mindaudio_ext.inference.models import Model, built_in, describe
from mindaudio_ext.inference.separator import Separator, find_model
from mindaudio_ext.interrupt import removed_at_an_end
from mindaudio_ext.serve.jobs import RTTM, Jobs
from mindaudio_ext.serve.words import in_both, page_words

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_HERE = Path(__file__).parent
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
        "img-src data:; media-src 'self' blob:"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def serve(
    *, host: str, port: int, largest: int, model: str | None, load: Callable[[Path, Path | None], Separator]
) -> None:
    """Serves the page until Ctrl-C.

    Args:
        host: address to listen on.
        port: 0 for any that is free.
        largest: bytes of a file that is taken.
        model: a model that can be chosen besides those in the package, and is the first choice; see `find_model`.
        load: loads the model in an experiment's folder, with its checkpoint when one was chosen.

    Raises:
        InputError: starlette or uvicorn is not installed, there is no such model, or the address cannot be had.
    """
    try:
        import uvicorn
        from starlette.applications import Starlette  # noqa: F401
    except ImportError as error:
        raise InputError(f'--serve: needs the package {error.name}: pip install "mindaudio-ext[demo]"') from error
    places: dict[str, tuple[Path, Path | None]] = {name: (folder, None) for name, folder in built_in().items()}
    places |= {} if model is None else {str(model): find_model(model)}
    chosen, _ = find_model(model)
    first = model or chosen.name
    models = {name: describe(folder) for name, (folder, _) in places.items()}
    with tempfile.TemporaryDirectory(prefix="mindaudio_") as folder, removed_at_an_end(folder):
        jobs = Jobs(Path(folder), lambda name: load(*places[name]))
        app = make_app(jobs, models, first=first, largest=largest, hosts=_LOOPBACK if host in _LOOPBACK else ("*",))
        with _listening(host, port) as listener:
            place = f"[{host}]" if ":" in host else host
            print(f"http://{place}:{listener.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
            server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
            # In the main thread asyncio and uvicorn would take Ctrl-C for themselves; see `interrupt`.
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            thread.join()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: cannot be had ({error.strerror or error})") from error


def make_app(jobs: Jobs, models: dict[str, Model], *, first: str, largest: int, hosts: tuple[str, ...]) -> "Starlette":
    """Returns the server's application.

    Args:
        jobs: the recordings.
        models: that can be chosen, by name.
        first: the one that is chosen at first.
        largest: bytes of a file that is taken.
        hosts: names by which this server may be called; `("*",)` for any. Else a page from elsewhere whose name is
            made to mean this machine could read what is here.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Route

    def refusal(status: int, message: str) -> "Response":
        return JSONResponse({"error": in_both(message)}, status, _HEADERS)

    async def page(request: "Request") -> "Response":
        return Response(_page(models, first, largest), media_type="text/html", headers=_HEADERS)

    async def style(request: "Request") -> "Response":
        return Response(_text("score/report.css") + _text("serve/page.css"), media_type="text/css", headers=_HEADERS)

    async def program(request: "Request") -> "Response":
        return Response(_text("serve/page.js"), media_type="text/javascript", headers=_HEADERS)

    async def add(request: "Request") -> "Response":
        model, name = request.query_params.get("model", first), request.query_params.get("name", "recording")
        too_large = refusal(413, f"{name}: is larger than {largest / 1e6:g} MB")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return refusal(403, "only this page may ask for that")
        if model not in models:
            return refusal(400, f"there is no model {model}")
        if int(request.headers.get("content-length") or 0) > largest:
            return too_large
        try:
            job = jobs.new(name)
        except InputError as error:
            return refusal(503, str(error))
        try:
            await _save(request, job.input, largest)
        except Exception as error:  # too much, or the browser has gone
            job.state = "stopped"
            jobs.remove(job.id)
            if isinstance(error, InputError):
                return too_large
            raise
        jobs.start(job, model)
        return JSONResponse(job.told(), headers=_HEADERS)

    async def tell(request: "Request") -> "Response":
        job = jobs.get(request.path_params["id"])
        if job is None:
            return refusal(404, "there is no such recording")
        return JSONResponse(job.told(), headers=_HEADERS)

    async def remove(request: "Request") -> "Response":
        jobs.remove(request.path_params["id"])
        return Response(status_code=204)

    async def give(request: "Request") -> "Response":
        job, file = jobs.get(request.path_params["id"]), request.path_params["file"]
        if job is None or file not in job.downloads:
            return refusal(404, "there is no such file")
        kept_as = job.downloads[file] if "download" in request.query_params else None
        media_type = "text/plain" if file == RTTM else "audio/wav"
        return FileResponse(job.folder / file, media_type=media_type, filename=kept_as, headers=_HEADERS)

    routes = [
        Route("/", page),
        Route("/page.css", style),
        Route("/page.js", program),
        Route("/jobs", add, methods=["POST"]),
        Route("/jobs/{id}", tell),
        Route("/jobs/{id}", remove, methods=["DELETE"]),
        Route("/jobs/{id}/{file}", give),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))])


async def _save(request: "Request", path: Path, largest: int) -> None:
    """Writes a request's body; raises InputError when it is larger than `largest` bytes."""
    n_bytes = 0
    with open(path, "wb") as file:
        async for part in request.stream():
            n_bytes += len(part)
            if n_bytes > largest:
                raise InputError(f"{path}: is larger than {largest} bytes")
            file.write(part)


@functools.cache
def _text(file: str) -> str:
    return (_HERE.parent / file).read_text(encoding="utf-8")


def _page(models: dict[str, Model], first: str, largest: int) -> str:
    """Returns the page with what can be chosen in it."""
    import jinja2

    template = jinja2.Environment(autoescape=True).from_string(_text("serve/page.html.j2"))
    return template.render(models=models, first=first, largest=largest, words=page_words())
