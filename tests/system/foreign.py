"""A site of somebody else, which tries all that a page can to have its visitors' browsers act with us."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import escape
from typing import Any, Final, NamedTuple

from aiohttp import web

# What a script on the page does: each way, and whether it could read an answer that is not for everybody.
_SCRIPT: Final = """
async function attempts(origin, calls) {
  const read = [];
  const attempt = async (name, work) => {
    try { const got = await work(); if (got) read.push(`${name}: ${got}`); } catch (refused) { }
  };
  for (const [method, input] of calls) {
    const url = `${origin}/xrpc/${method}`, body = JSON.stringify(input);
    for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded", "application/json; x=y"])
      for (const mode of ["cors", "no-cors"])
        for (const credentials of ["include", "same-origin"])
          await attempt(`${method} ${type} ${mode} ${credentials}`, async () => {
            const headers = {"Content-Type": type};
            const response = await fetch(url, {method: "POST", mode, credentials, body, headers});
            return response.ok && response.text();
          });
    await attempt(`${method} no type`, async () => {
      await fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body: new Blob([body])});
    });
    await attempt(`${method} beacon`, async () => { navigator.sendBeacon(url, body); });
    await attempt(`${method} typed beacon`, async () => {
      navigator.sendBeacon(url, new Blob([body], {type: "application/json"}));
    });
    await attempt(`${method} override`, async () => {
      await fetch(`${url}?_method=POST`, {mode: "no-cors", credentials: "include"});
    });
    const flat = new URLSearchParams(Object.entries(input).map(([name, value]) => [name, JSON.stringify(value)]));
    for (const tag of ["img", "script", "iframe", "link"])
      await new Promise(done => {
        const one = document.createElement(tag);
        if (tag === "link") { one.rel = "stylesheet"; one.href = `${url}?${flat}`; } else one.src = `${url}?${flat}`;
        one.onload = one.onerror = done;
        setTimeout(done, 300);
        document.body.append(one);
      });
  }
  return read;
}
"""
_PAGE: Final = f"<!doctype html><title>Nothing to see</title><body><script>{_SCRIPT}</script>"


class Form(NamedTuple):
    """A form that sends itself as soon as it is seen, to `action`."""

    action: str
    fields: Mapping[str, str]
    encoding: str = "application/x-www-form-urlencoded"

    @classmethod
    def of_json(cls, action: str, value: Mapping[str, Any]) -> "Form":
        """One whose body is JSON with `value` in it: a form as text writes `name=value`, its `=` within a string."""
        return cls(action, {json.dumps({**value, "x": "y"})[:-2]: '"}'}, "text/plain")

    def page(self) -> str:
        inputs = "".join(f'<input name="{escape(name)}" value="{escape(text)}">' for name, text in self.fields.items())
        tag = f'<form id="form" method="post" action="{escape(self.action)}" enctype="{self.encoding}">'
        return f"<!doctype html><title>Nothing to see</title>{tag}{inputs}</form><script>form.submit()</script>"


@asynccontextmanager
async def foreign_site(forms: list[Form]) -> AsyncIterator[int]:
    """The port of the site: `/` has the scripts, and `/form/<n>` sends a form of `forms`, which may grow."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def form(request: web.Request) -> web.Response:
        return web.Response(text=forms[int(request.match_info["number"])].page(), content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    application.router.add_get("/form/{number}", form)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
