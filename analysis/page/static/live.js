/** Start of a live page: the data come from an address, again whenever the server says that they have changed. */

import { showStudy } from "./study.js";

/** Show the study at `dataUrl` in `root`, and follow the events at `eventsUrl`; `say` is told about lost contact. */
export async function followStudy(root, dataUrl, eventsUrl, say) {
  const read = async () => (await fetch(dataUrl)).json();
  const shown = showStudy(root, await read());
  const events = new EventSource(eventsUrl);
  events.addEventListener("change", async () => shown.update(await read()));
  events.addEventListener("open", () => say(""));
  events.addEventListener("error", () => say(`No contact since ${new Date().toLocaleTimeString()}, trying again.`));
  window.addEventListener("pagehide", () => events.close());
}

const main = document.querySelector("main[data-study]");
if (main) {
  const contact = document.getElementById("contact");
  followStudy(main, main.dataset.study, main.dataset.events, (text) => { contact.textContent = text; });
}
