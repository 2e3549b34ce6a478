"""Pages as a browser without scripts sees them: links, forms, and what is sent when a form is sent."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.integration.apis import Api


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """A page that was answered, read."""

    def __init__(self, api: Api, answer: httpx.Response) -> None:
        super().__init__()
        self.api = api
        self.answer = answer
        self.path = answer.url.raw_path.decode()
        self.links: list[str] = []
        self.forms: dict[str, Form] = {}
        self.amounts: list[int] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._text: list[str] = []
        self._form: str | None = None
        self.feed(answer.text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.append((tag, told))
        if tag == "form":
            self._form = told.get("id") or told.get("action", "")
            self.forms[self._form] = Form(told.get("action", self.path), told.get("method", "get"))
        for name in ("href", "src"):
            if name in told:
                self.links.append(urljoin(self.path, told[name]))
        if tag == "data":
            self.amounts.append(int(told["value"]))
        form = self.forms.get(told.get("form", self._form or ""))
        if form and tag in ("input", "textarea") and told.get("type") not in ("checkbox", "radio", "file"):
            form.fields.setdefault(told.get("name", ""), []).append(told.get("value", ""))
        if form and told.get("type") == "checkbox" and "checked" in told:
            form.fields.setdefault(told["name"], []).append(told["value"])
        if form and tag == "button":
            form.buttons.append(told)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def send(self, form: str, button: str = "", **values: Any) -> "Page":
        """Send a form, with the button whose attributes mention `button`, and follow where it leads."""
        found = self.forms[form]
        pressed = next((one for one in found.buttons if button and button in "".join(one.values())), {})
        fields: dict[str, Any] = {**found.fields, **values}
        if "name" in pressed:
            fields[pressed["name"]] = pressed.get("value", "")
        target = urljoin(self.path, pressed.get("formaction", found.action))
        return Page(self.api, self.api.post(target, data=fields, follow_redirects=True))


def visit(api: Api, path: str, **options: Any) -> Page:
    return Page(api, api.get(path, follow_redirects=True, **options))
