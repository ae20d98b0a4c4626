/** What runs now: the state of a study, its launch, the trials at work and the state of every trial. */

import { element, formatNumber, plural, section, wide } from "./dom.js";
import { ago } from "./follow.js";

const MAX_ROWS = 200;
/** Cells whose states are shown at once; more wait behind a line to open. */
const MOST_OPEN = 12;
const DASH = "\u2013";

/** One line above everything: state, progress, time, and how old that is. */
export function stateLine({ summary, changed_at: changedAt }) {
  const { state, word, sentence, num_ended: ended, num_trials: all, left, spent, damaged } = summary;
  const parts = [all ? `${ended} of ${plural(all, "trial")}` : "", left && `${left} left`, spent && `${spent} spent`].filter(Boolean);
  return element("div", { class: "state-line" },
    element("p", {}, element("span", { class: `state ${state}` }, word), parts.map((part) => ` \u00b7 ${part}`), " \u00b7 last change ", ago(changedAt)),
    sentence && element("p", { class: "note" }, sentence),
    damaged.length > 0 && element("p", { class: "changed" }, `Damaged and left out: ${damaged.join(", ")}. A launch runs their trials again.`));
}

/** The section with the trials at work. */
export function now({ now: shown, cells }) {
  const { launch, running } = shown;
  if (!launch && !running.length) return null;
  return section("now", "Now",
    launch && element("p", { class: "lead" }, `Launch of process ${launch.process} on ${launch.host}, last heartbeat `, ago(launch.beat_at), "."),
    launch?.on_machines.map((line) => element("p", { class: "changed" }, `${line[0].toUpperCase()}${line.slice(1)}.`)),
    running.length ? runningTable(running, labelsOf(cells)) : element("p", {}, "No trial is running."));
}

/** What cells are called on this page, by their names in the plan. */
function labelsOf(cells) {
  const labels = new Map(cells.map(({ name, label }) => [name, label]));
  return (cell) => labels.get(cell) ?? cell;
}

function runningTable(running, label) {
  const titles = ["cell", "seed", "machine", "epoch", "loss", "last heard", "log"];
  const rows = running.slice(0, MAX_ROWS).map((trial) => element("tr", {},
    element("th", { class: "text", scope: "row" }, label(trial.cell)),
    element("td", {}, `${trial.seed}`),
    element("td", { class: "text" }, trial.host ?? DASH),
    element("td", {}, `${trial.epoch ?? 0} of ${trial.num_epochs ?? "?"}`),
    element("td", {}, formatNumber(trial.loss)),
    element("td", {}, ago(trial.heard_at)),
    element("td", { class: "text" }, element("a", { href: `log/${encodeURIComponent(trial.signature)}`, "aria-label": `log of ${label(trial.cell)}, seed ${trial.seed}` }, "log"))));
  const table = element("table", {},
    element("thead", {}, element("tr", {}, titles.map((title) => element("th", { scope: "col", class: ["cell", "machine", "log"].includes(title) ? "text" : null }, title)))),
    element("tbody", {}, rows));
  const rest = running.length > MAX_ROWS && element("p", { class: "note" }, `${MAX_ROWS} of ${running.length} running trials shown.`);
  return element("div", {}, wide("Trials at work", table), rest);
}

/** The state of every trial, a row for each cell and a column for each seed: a sign and, for a reader, its word. */
export function stateMatrix({ matrix, cells }, store) {
  if (!matrix?.rows.length) return null;
  const { seeds, rows, glyphs } = matrix;
  const label = labelsOf(cells);
  const sign = (state) => (state
    ? element("td", { class: `sign ${state}`, title: state }, element("span", { "aria-hidden": "true" }, glyphs[state] ?? "\u00b7"), element("span", { class: "unseen" }, state))
    : element("td", { class: "sign" }));
  const table = element("table", { class: "matrix" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "text" }, "cell"), seeds.map((seed) => element("th", { scope: "col" }, `${seed}`)))),
    element("tbody", {}, rows.slice(0, MAX_ROWS).map(({ cell, states }) => element("tr", {}, element("th", { scope: "row", class: "text" }, label(cell)), states.map(sign)))));
  const states = [...new Set(rows.flatMap((row) => row.states))].filter(Boolean);
  const key = element("p", { class: "note" }, states.map((state, index) => [index ? ", " : "", element("span", { class: `sign ${state}` }, glyphs[state] ?? "\u00b7"), ` ${state}`]).flat(), ". Columns are seeds.");
  const rest = rows.length > MAX_ROWS && element("p", { class: "note" }, `${MAX_ROWS} of ${rows.length} cells shown.`);
  const isOpen = store.get("matrix", rows.length <= MOST_OPEN);
  const details = element("details", { open: isOpen }, element("summary", {}, "State of every trial"), wide("State of every trial", table), key, rest);
  details.addEventListener("toggle", () => store.set("matrix", details.open));
  return details;
}
