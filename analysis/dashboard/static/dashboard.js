/** Start of a study's page in the dashboard: the page of a report, and beside it what runs now. */

import { answer } from "./answer.js";
import { element } from "./dom.js";
import { follow, readJson } from "./follow.js";
import { now, stateLine, stateMatrix } from "./now.js";
import { search } from "./search.js";
import { Store } from "./store.js";
import { stripOf } from "./strip.js";
import { PARTS, showStudy } from "./study.js";

const root = document.getElementById("study");
const state = document.getElementById("state");
const store = new Store();
/** The report's parts; after the answer, how a search goes, what runs now, and the state of every trial. */
const LIVE_PARTS = PARTS.flatMap((entry) => (entry[0] === answer
  ? [entry, [search, "search_progress"], [now, "now", "cells"], [stateMatrix, "matrix", "cells"]]
  : [entry]));

let shown = null;
let tag = null;
let data = null;

const first = await show();
follow("events", first, show);

/** Read and show the study; gives the name of what is shown. */
async function show() {
  const live = await readJson("now.json").catch((error) => gone(error));
  if (!live) return "gone";
  state.replaceChildren(stateLine(live));
  document.title = `${live.summary.name}: ${live.summary.word}`;
  if (data === null) root.replaceChildren(element("p", {}, "Its results are being read."));
  await readData();
  const { launch, running, matrix } = live;
  const page = { ...data, now: { launch, running }, matrix, stripOf: data.strip && ((signature) => stripOf(data.strip, signature)) };
  if (data.problem) root.replaceChildren(element("h1", {}, live.summary.name), element("p", { class: "changed" }, data.problem));
  else if (shown) shown.update(page);
  else {
    root.replaceChildren();
    shown = showStudy(root, page, store, LIVE_PARTS);
  }
  if (data.problem) shown = null;
  return live.sequence;
}

/** The data of the report's parts, read anew where they have changed. */
async function readData() {
  const answer = await fetch("data.json");
  if (answer.ok && (data === null || answer.headers.get("etag") !== tag)) {
    tag = answer.headers.get("etag");
    data = await answer.json();
  }
}

/** The study's folder is no longer there; what was shown of it stays. */
function gone(error) {
  state.replaceChildren(element("p", { class: "changed" }, error.message));
  return null;
}
