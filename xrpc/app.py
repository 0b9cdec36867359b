"""The application: its routes, its middleware, and what lives as long as it does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from appview.config import Config
from appview.db import create_pool
from appview.reads.views import Views
from appview.signer import Signer
from lexicons.catalog import Catalog, shipped
from xrpc.accounts import accounts
from xrpc.auth import authentication
from xrpc.dispatch import Dispatcher
from xrpc.errors import XrpcError, answer_http_error, answer_xrpc_error
from xrpc.generators import generators_of
from xrpc.hot import HOT_SECONDS, Hot
from xrpc.http.account import ROUTES
from xrpc.http.docs import Docs
from xrpc.http.edge import Edge
from xrpc.http.health import health
from xrpc.http.metrics import Metrics
from xrpc.http.openapi import openapi
from xrpc.http.page import Page
from xrpc.http.ready import ready
from xrpc.http.well_known import did_document, robots
from xrpc.limits import limits_of
from xrpc.methods import METHODS
from xrpc.network import network
from xrpc.signatures import Handler, by_nsid, check_methods

POOL_SIZE: Final = 10
STATEMENT_SECONDS: Final = 3.0
CLOSE_SECONDS: Final = 5.0


def create_app(
    config: Config,
    *,
    methods: Mapping[str, Handler] = METHODS,
    catalog: Catalog | None = None,
    validate_output: bool = False,
    hot_seconds: float = HOT_SECONDS,
) -> Starlette:
    """The application, which needs no database to come to be.

    With `validate_output`, for tests, an answer or an error that its lexicon does not allow is raised. Answers to
    nobody in particular are kept for `hot_seconds`. Raises SignatureError when `methods` and `catalog` (by default the
    documents that are shipped) do not go together, and LexiconError when there is no such catalog.
    """
    catalog = catalog or shipped(config.namespace)
    handlers = by_nsid(methods, config.namespace)
    check_methods(catalog, handlers, config.namespace)
    registry = CollectorRegistry()
    docs = Docs(handlers)
    zipped = [Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)]
    dispatcher = Dispatcher(catalog, handlers, registry, validate_output=validate_output, hot=Hot(hot_seconds))

    app = Starlette(
        routes=[
            Route("/", Page(handlers).answer, middleware=zipped),
            Route("/xrpc/_health", health),
            Route("/xrpc/{path:path}", dispatcher),
            Route("/docs", docs.reference, middleware=zipped),
            Route("/docs/recipes", docs.recipes, middleware=zipped),
            Route("/api/openapi.json", openapi(config, catalog, handlers), methods=["GET"]),
            Route("/ready", ready),
            Route("/metrics", Metrics(registry).answer, middleware=zipped),
            Route("/.well-known/did.json", did_document),
            Route("/robots.txt", robots),
            *ROUTES,
        ],
        middleware=[Middleware(Edge, strict=validate_output)],
        exception_handlers={XrpcError: answer_xrpc_error, HTTPException: answer_http_error},
        lifespan=_lifespan(config, registry),
    )
    app.router.redirect_slashes = False
    app.state.config = config
    app.state.catalog = catalog
    app.state.views = Views(config.namespace, config.policy(), config.avatar_url)
    app.state.signer = Signer(config.service_did, config.secret_key) if config.secret_key else None
    return app


def _lifespan(config: Config, registry: CollectorRegistry) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What lives as long as the application: the pool, what it asks the network with, and the check of callers."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        url = config.database_read_url or config.database_url
        if url is None:
            raise RuntimeError("No database is configured.")
        pool = await create_pool(url, size=POOL_SIZE, command_seconds=STATEMENT_SECONDS, read_only=True, lazy=True)
        app.state.pool = pool
        try:
            async with (
                network(config) as net,
                limits_of(config, registry) as app.state.limits,
                accounts(config, app.state.catalog, net.identities, registry) as app.state.accounts,
                authentication(config, pool, app.state.accounts, net.identities, registry) as app.state.auth,
            ):
                app.state.network = net
                app.state.generators = generators_of(net, registry)
                yield
        finally:
            # Whoever asked was answered by now; a database that is silent must not hold up the end.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await pool.close()

    return lifespan
