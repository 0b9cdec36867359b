"""HTML out of templates: whatever is put into one is escaped, but for what came out of one."""

from html import escape
from string import Template


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def fill(template: Template, **values: object) -> Html:
    """`template` with these values in place; all but Html is escaped, for text and for attributes in double quotes.

    Raises KeyError for a value that is missing.
    """
    safe = {name: value if isinstance(value, Html) else escape(str(value)) for name, value in values.items()}
    return Html(template.substitute(safe))


def joined(*parts: Html) -> Html:
    """These, one after the other."""
    return Html("".join(parts))
