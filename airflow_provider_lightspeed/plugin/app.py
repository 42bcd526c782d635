"""The FastAPI app under ``/lightspeed``: the pages behind Airflow's login; refresh trigger and marker before it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_lightspeed.plugin.masking import keep_masker_small
from airflow_provider_lightspeed.plugin.pages import log_in, refusal
from airflow_provider_lightspeed.plugin.refresh import Trigger, trigger_router
from airflow_provider_lightspeed.plugin.shell import HEADERS, Shell
from airflow_provider_lightspeed.tokens.refresh import Refresher


def create_app(trigger: Trigger | None = None) -> FastAPI:
    """Return the app that Airflow mounts: refresh trigger and marker without a login, all else behind Airflow's."""
    from airflow_provider_lightspeed.plugin.routes import ROUTERS

    keep_masker_small()
    # Redirects to paths with or without a slash would be made of the Host header, and of http behind a proxy.
    app = FastAPI(title="Lightspeed", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.include_router(trigger_router(trigger or Trigger(Refresher())))
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(packages=[("airflow_provider_lightspeed.plugin", "static")]))
    app.add_middleware(Shell)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(Exception, _fail)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    """Airflow's refusals as plain pages; who is not logged in is sent to log in."""
    assert isinstance(error, StarletteHTTPException)
    if error.status_code == 401:
        return log_in(request)
    words = {403: "You may not do this. Ask an administrator of this Airflow for rights on connections."}
    detail = str(error.detail) if error.detail not in ("", "Forbidden") else words.get(error.status_code, "")
    return refusal(request, error.status_code, detail)


async def _fail(request: Request, _: Exception) -> Response:
    """A fault of ours; the API server's log has it."""
    page = refusal(request, 500, "Something went wrong here. The API server's log says what.")
    page.headers.update(HEADERS)  # this answer goes out past the middleware
    return page
