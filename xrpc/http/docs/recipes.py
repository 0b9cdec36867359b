"""The page of recipes, each with requests that can be made right now. Pure."""

from collections.abc import Mapping
from string import Template
from typing import Final
from urllib.parse import quote

from appview.config import Config
from xrpc.http.docs.cookbook import RECIPES, Step
from xrpc.http.docs.layout import Contents, template
from xrpc.http.page.examples import Samples
from xrpc.http.page.html import Html, fill, joined

_RECIPE: Final = template("recipe")
_STEP: Final = template("step")
_LINKED: Final = Template('<p><a class="ask" href="$url">GET $shown</a></p>\n')
_PLAIN: Final = Template('<p><code class="request">GET $shown</code></p>\n')
_CODE: Final = Template('<pre tabindex="0">$text</pre>\n')


def recipes(config: Config, samples: Samples) -> tuple[Html, Contents]:
    """The body of the page, and what stands where on it."""
    contents = Contents()
    contents.add("Recipes", [(recipe.id, recipe.title) for recipe in RECIPES])
    given = here(samples)
    names = {"namespace": config.namespace, "service": config.service_did, "url": config.public_url}
    made = []
    for recipe in RECIPES:
        steps = (_step(step, config.namespace, given, names) for step in recipe.steps)
        made.append(fill(_RECIPE, id=recipe.id, title=recipe.title, about=recipe.about, steps=joined(*steps)))
    return joined(*made), contents


def here(samples: Samples) -> dict[str, str]:
    """What stands for the names in braces, as far as it is here."""
    found: dict[str, str | None] = {"fan": samples.fan, "skeleton": samples.skeleton}
    for track in samples.tracks[:1]:
        _, _, _, found["collection"], found["rkey"] = track["uri"].split("/")
        found |= {"track": track["uri"], "actor": track["author"]["did"]}
        found["word"] = next(iter(track["title"].split()), None)
    if samples.list_ is not None:
        found |= {"list": samples.list_["uri"], "lister": samples.list_["author"]["did"]}
    return {name: value for name, value in found.items() if value}


def request(step: Step, namespace: str, given: Mapping[str, str]) -> str | None:
    """The path and query of the request of `step`; None when it has none, or wants what is not here."""
    if not step.request:
        return None
    try:
        return f"/xrpc/{_full(step.request, namespace)}".format_map(
            {name: quote(value, safe=":") for name, value in given.items()}
        )
    except KeyError:
        return None


def _full(method: str, namespace: str) -> str:
    return method if method.startswith("com.atproto.") else f"{namespace}.{method}"


def _step(step: Step, namespace: str, given: Mapping[str, str], names: Mapping[str, str]) -> Html:
    url = request(step, namespace, given)
    asked: Html | str = ""
    if url is not None:
        asked = fill(_LINKED, url=url, shown=url)
    elif step.request:
        asked = fill(_PLAIN, shown=f"/xrpc/{_full(step.request, namespace)}")
    code = fill(_CODE, text=Template(step.code).safe_substitute(names)) if step.code else ""
    return fill(_STEP, text=Template(step.text).safe_substitute(names), request=asked, code=code)
