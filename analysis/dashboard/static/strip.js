/** The strip of a trial's model: what it makes of held-out items, made by the server when somebody asks for it. */

import { element } from "./dom.js";
import { readJson } from "./follow.js";

const POLL_MILLISECONDS = 1000;
/** Trials whose strip somebody has asked for on this page: it stays when the page's data are replaced. */
const wanted = new Set();

/** A button with the family's words for it, and below it the pictures once they are there. */
export function stripOf(label, signature) {
  const address = `strip/${encodeURIComponent(signature)}`;
  const status = element("p", { role: "status", class: "note" });
  const pictures = element("div", { class: "strip" });
  const button = element("button", { type: "button", on: { click: () => ask("?again=1") } }, label);
  const place = element("div", {}, button, status, pictures);

  async function ask(query = "") {
    wanted.add(signature);
    button.disabled = true;
    let found;
    do {
      found = await readJson(`${address}${query}`).catch((error) => ({ state: "failed", problem: error.message, pictures: [] }));
      query = "";
      show(found);
      if (found.state === "waiting" || found.state === "running") await new Promise((resolve) => { setTimeout(resolve, POLL_MILLISECONDS); });
    } while (place.isConnected && (found.state === "waiting" || found.state === "running"));
  }

  function show({ state, problem, num_before: before, pictures: names }) {
    status.textContent = { waiting: before ? `Waiting, ${before} before it.` : "Waiting.", running: "Being made, beside the trials: this takes a while.", failed: "", done: "" }[state];
    const made = names.map((name, index) => element("figure", {},
      element("img", { src: `${address}/${index}`, alt: `${label}: ${name}` }), element("figcaption", {}, name)));
    const told = problem ? [element("pre", { tabindex: "0", role: "group", "aria-label": "Why there is no strip" }, problem)] : [];
    pictures.replaceChildren(...made, ...told);
    button.hidden = state === "done";
    button.disabled = state !== "failed";
  }

  if (wanted.has(signature)) setTimeout(ask);
  return place;
}
