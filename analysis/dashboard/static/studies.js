/** The list of studies: a row each, changed in place. */

import { element, plural, wide } from "./dom.js";
import { follow, readJson } from "./follow.js";

const COLUMNS = ["study", "state", "trials", "time left", "spent", "verdicts"];
const root = document.getElementById("studies");
const about = element("div", {});
const body = element("tbody", {});
const table = wide("Studies", element("table", { class: "studies" },
  element("thead", {}, element("tr", {}, COLUMNS.map((title, index) => element("th", { scope: "col", class: index === 2 ? null : "text" }, title)))), body));
const rows = new Map();
root.append(about, table);

const shown = await show();
follow("events", shown, show);

/** Read and show the studies; gives the name of what is shown. */
async function show() {
  const { sequence, results, problem, studies, others } = await readJson("studies.json");
  const running = studies.filter(({ state }) => state === "running").length;
  document.title = running ? `${running} running \u00b7 Studies` : "Studies";
  about.replaceChildren(
    element("p", { class: "lead" }, `${plural(studies.length, "stud").replace(/studs$/, "studies").replace(/stud$/, "study")} in ${results}${running ? `, ${running} running` : ""}.`),
    problem ? element("p", { class: "changed" }, problem) : "",
    !studies.length && !problem ? empty() : "",
    others.length ? element("p", { class: "note" }, `Folders without a study: ${others.join(", ")}.`) : "");
  table.hidden = !studies.length;
  const present = new Set(studies.map(({ key }) => key));
  for (const [key, { row }] of rows) if (!present.has(key)) { row.remove(); rows.delete(key); }
  for (const [index, study] of studies.entries()) {
    const row = rowOf(study);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  }
  return sequence;
}

function empty() {
  return element("div", {}, element("p", {}, "Nothing has run yet. A study appears here as soon as it starts:"), element("pre", {}, "asyrp-sweep run SPACE"));
}

/** The row of a study: the one that is there, filled anew where something about it has changed. */
function rowOf(study) {
  const data = JSON.stringify(study);
  const known = rows.get(study.key) ?? { row: element("tr", {}), data: "" };
  rows.set(study.key, known);
  if (known.data === data) return known.row;
  known.data = data;
  const hadFocus = known.row.contains(document.activeElement);
  const link = element("a", { href: `study/${encodeURIComponent(study.key)}/` }, study.name);
  known.row.className = study.state;
  known.row.replaceChildren(
    cell("study", element("span", {}, link, element("small", {}, study.question))),
    cell("state", element("span", {}, element("span", { class: `state ${study.state}` }, study.word), note(study))),
    cell("trials", study.num_trials ? progress(study) : "\u2013", "number"),
    cell("time left", study.left || "\u2013"),
    cell("spent", study.spent || "\u2013"),
    cell("verdicts", study.verdicts || "\u2013"));
  if (hadFocus) link.focus({ preventScroll: true });
  return known.row;
}

function cell(title, content, kind = "text") {
  return element(title === "study" ? "th" : "td", { "data-title": title, class: kind === "text" ? "text" : null, scope: title === "study" ? "row" : null }, content);
}

function note({ sentence, damaged }) {
  const lines = [sentence, damaged.length ? `Damaged: ${damaged.join(", ")}.` : ""].filter(Boolean);
  return lines.map((line) => element("small", {}, line));
}

function progress({ num_ended: ended, num_trials: all, counts }) {
  const bar = element("progress", { max: all, value: ended, "aria-label": "trials that have ended" });
  return element("span", { title: counts }, `${ended} of ${all}`, bar);
}
