/** What changes while a page is open: events from the server, contact with it, and how long ago something was. */

import { element } from "./dom.js";

/**
 * Call `read` whenever the server says that something has changed, once at a time. `since` names what is shown already;
 * the browser itself asks again, with the name it heard last, when the server was away.
 */
export function follow(eventsUrl, since, read) {
  let isReading = false;
  let isStale = false;
  const changed = async () => {
    isStale = true;
    if (isReading) return;
    isReading = true;
    while (isStale) {
      isStale = false;
      await read().catch(() => { contact(false); });
    }
    isReading = false;
  };
  let events;
  const listen = () => {
    events = new EventSource(`${eventsUrl}?since=${encodeURIComponent(since)}`);
    events.addEventListener("changed", changed);
    events.addEventListener("open", () => contact(true));
    events.addEventListener("error", () => contact(false));
  };
  listen();
  // A browser opens six connections to a server, whatever the number of its pages; a page that is left needs none.
  window.addEventListener("pagehide", () => events.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) { listen(); changed(); } });
}

/** JSON from an address. Throws where the server is away or has no such thing. */
export async function readJson(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

/** Say since when the server has been away; nothing while it is there. */
function contact(isThere) {
  const place = document.getElementById("contact");
  document.documentElement.classList.toggle("away", !isThere);
  if (isThere) place.textContent = "";
  else if (!place.textContent) place.textContent = `No contact since ${new Date().toLocaleTimeString("en-GB")}, trying again. What is shown is from before.`;
}

/** In seconds since 1970: about the end of the calendar. */
const LATEST = 8e12;

/** How long ago a time was, which goes on by itself; `seconds` since 1970. */
export function ago(seconds) {
  if (!(Math.abs(seconds) < LATEST) || seconds === null) return "\u2013";
  const moment = new Date(1000 * seconds);
  return element("time", { datetime: moment.toISOString(), class: "ago", title: moment.toISOString() }, agoText(moment));
}

function agoText(moment) {
  const seconds = Math.max(0, Math.round((Date.now() - moment.getTime()) / 1000));
  if (seconds < 100) return `${seconds} s ago`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min ago` : `${(seconds / 3600).toFixed(1)} h ago`;
}

setInterval(() => {
  for (const shown of document.querySelectorAll("time.ago")) shown.textContent = agoText(new Date(shown.dateTime));
}, 1000);
