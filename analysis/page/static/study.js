/** The page of a study, part by part. report.html and the dashboard show the same one. */

import { answer, header } from "./answer.js";
import { curves } from "./curves.js";
import { effects } from "./effects.js";
import { element } from "./dom.js";
import { parallel } from "./parallel.js";
import { samples } from "./samples.js";
import { Store } from "./store.js";
import { claims, costs, failures, fairness, figures, methods, provenance, searchTable, warnings } from "./texts.js";
import { trials } from "./trials.js";

/** Parts in the order of the page, each with the data it reads. It makes an element from them, or gives nothing. */
export const PARTS = [
  [header, "header", "search"],
  [answer, "effects", "search", "cells"],
  [claims, "claims"],
  [effects, "effects", "cells"],
  [failures, "failures", "trials", "cells"],
  [curves, "curves", "trials", "cells"],
  [samples, "samples", "trials", "cells"],
  [parallel, "trials", "cells"],
  [trials, "trials", "cells"],
  [searchTable, "search"],
  [figures, "figures"],
  [fairness, "fairness", "tuning", "search"],
  [costs, "costs"],
  [warnings, "warnings"],
  [methods, "methods"],
  [provenance, "provenance"],
];

/**
 * Show a study in an element. The data are a `StudyPage`, described in analysis/page/shape.py.
 * Gives `update(page)`, which shows newer data and keeps what the reader has chosen.
 */
export function showStudy(root, page, store = new Store(), parts = PARTS) {
  const shown = parts.map(([part, ...names]) => {
    const place = element("div", { class: "part" });
    root.append(place);
    return { part, names, place, data: null };
  });
  const update = (newer) => {
    for (const entry of shown) replacePart(entry, newer, store);
  };
  update(page);
  return { update, store };
}

/** Make a part anew where its data have changed; the focus goes back to where it was. */
function replacePart(entry, page, store) {
  const data = JSON.stringify(entry.names.map((name) => page[name]));
  if (data === entry.data) return;
  entry.data = data;
  const made = entry.part(page, store);
  const focused = entry.place.contains(document.activeElement) ? document.activeElement : null;
  const path = focused && indexPath(entry.place, focused);
  entry.place.replaceChildren(...(made ? [made] : []));
  if (path) followPath(entry.place, path)?.focus({ preventScroll: true });
}

function indexPath(from, to) {
  const path = [];
  for (let node = to; node !== from; node = node.parentElement) path.unshift([...node.parentElement.children].indexOf(node));
  return path;
}

function followPath(from, path) {
  return path.reduce((node, index) => node?.children[index], from);
}
