"use strict";
{
  const make = (tag, props = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...children);
    return made;
  };
  // Keys, texts, and all that lies between them, of JSON that was laid out by the browser itself.
  const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|[^"]+/g;
  const LONG = 200_000;
  const colored = json => {
    if (json.length > LONG) return json;
    const all = document.createDocumentFragment();
    for (const [whole, text, colon] of json.matchAll(TOKENS)) {
      if (text === undefined) all.append(whole);
      else all.append(make("span", {className: colon ? "key" : "text", textContent: text}), colon ?? "");
    }
    return all;
  };
  const query = form => {
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    const text = new URLSearchParams(given).toString();
    return form.getAttribute("action") + (text && "?" + text);
  };
  const size = bytes => bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`;

  for (const form of document.querySelectorAll("form.try")) {
    const name = form.getAttribute("aria-label").slice("Try ".length);
    const request = form.querySelector(".request");
    const show = () => { request.textContent = "GET " + query(form); };
    const said = make("p", {className: "said"});
    said.setAttribute("role", "status");
    const output = make("pre", {tabIndex: 0, hidden: true});
    output.setAttribute("role", "region");
    output.setAttribute("aria-label", "What " + name + " answers");
    const onward = make("button", {type: "button", className: "more", hidden: true, textContent: "Next page"});
    form.append(said, onward, output);

    let asked = 0;
    const ask = async () => {
      const mine = ++asked, began = performance.now();
      onward.hidden = true;
      said.textContent = "Asking …";
      let head, body;
      try {
        const answer = await fetch(query(form), {headers: {accept: "application/json"}});
        const text = await answer.text();
        const took = `${Math.round(performance.now() - began)} ms`;
        head = [make("b", {textContent: `${answer.status}`}), ` in ${took}, ${size(new Blob([text]).size)}`];
        body = JSON.parse(text);
      } catch (error) {
        head = [make("b", {textContent: "No answer"}), `: ${error.message}`];
      }
      if (mine !== asked) return;
      said.replaceChildren(...head);
      output.hidden = body === undefined;
      output.replaceChildren(colored(JSON.stringify(body, null, 2) ?? ""));
      output.scrollTop = 0;
      const cursor = form.elements.namedItem("cursor");
      onward.hidden = !(cursor && body?.cursor);
      onward.onclick = () => { cursor.value = body.cursor; show(); ask(); };
    };
    form.addEventListener("submit", event => { event.preventDefault(); ask(); });
    form.addEventListener("input", show);
    for (const field of form.querySelectorAll(".field[data-several]")) {
      const more = make("button", {type: "button", className: "more", textContent: "One more"});
      more.setAttribute("aria-label", "One more " + field.dataset.several);
      more.onclick = () => {
        const last = field.querySelector("input:last-of-type"), next = last.cloneNode();
        next.value = "";
        next.removeAttribute("id");
        next.setAttribute("aria-label", "One more " + field.dataset.several);
        last.after(next);
        next.focus();
      };
      field.append(more);
    }
    show();
  }
  // On a phone the list of all methods would be in the way.
  if (matchMedia("(max-width: 59.99rem)").matches) document.querySelector(".contents details").open = false;
}
