/** Parts that are words and tables: claims, failures, figures, fairness, costs, warnings, methods, provenance. */

import { element, numbersOf, section, textTable } from "./dom.js";

/** Failures that are shown at once; the others are a click away. */
const AT_ONCE = 10;
/** Of them, those whose log is open: many trials fail in the same way. */
const LOGS_OPEN = 2;

/** Claims beside the published numbers. */
export function claims({ claims: shown }) {
  if (!shown.length) return null;
  const items = shown.map(({ verdict, text, source, note, numbers }) =>
    element("li", { class: verdict }, element("strong", {}, verdict), `${note ? ` (${note})` : ""}: ${text}${source ? ` (${source})` : ""}`, element("small", {}, numbers)));
  return section("claims", "Claims", element("ul", { class: "verdicts" }, items));
}

/** Trials without a result, with the end of each log. */
export function failures({ failures: shown, trials, cells }) {
  if (!shown.length) return null;
  const list = (some, logsOpen) => element("ul", { class: "verdicts" }, some.map((one, index) => itemOf(one, index < logsOpen)));
  const itemOf = ({ trial, status, reason }, isOpen) =>
    element("li", {},
      element("strong", {}, `${cells[trials.cells[trial]].label}, seed ${trials.seeds[trial]}: ${status}`),
      reason ? `. ${reason}` : "",
      element("small", {}, `trial ${trials.signatures[trial]}; asyrp-sweep explain ${trials.signatures[trial]}`),
      trials.log_ends[trial] && element("details", { open: isOpen }, element("summary", {}, "End of its log"),
        element("pre", { tabindex: "0", role: "group", "aria-label": `End of the log of trial ${trials.signatures[trial]}` }, trials.log_ends[trial])));
  return section("failures", "Trials without a result", list(shown.slice(0, AT_ONCE), LOGS_OPEN),
    shown.length > AT_ONCE && numbersOf(`${shown.length - AT_ONCE} further trials without a result`, () => list(shown.slice(AT_ONCE), 0)));
}

/** Of a search: its trials, the best first. */
export function searchTable({ search }) {
  if (!search) return null;
  return section("search", "Trials, the best first", textTable(search.table, "Trials, the best first"),
    element("p", { class: "note" }, "Means over the seeds of each. A dash: the setting does not act there."));
}

/** Kinds of figures like a part that can be explored: theirs are opened on demand. */
const EXPLORABLE = new Set(["curves", "image_grid"]);

/** The figures that the space asks for, as they are in the files beside the report. */
export function figures({ figures: shown }) {
  const others = shown.filter(({ kind }) => !EXPLORABLE.has(kind));
  const explorable = shown.filter(({ kind }) => EXPLORABLE.has(kind));
  if (!shown.length) return null;
  return element("div", { id: "figures" },
    others.map((figure) => section(`figure-${figure.name}`, figure.heading, figureOf(figure))),
    explorable.length && section("figures-as-filed", "Figures as in the files",
      explorable.map((figure) => element("details", { class: "open-on-paper" }, element("summary", {}, figure.heading), figureOf(figure)))));
}

function figureOf({ heading, caption, picture, table }) {
  return element("figure", {},
    picture && element("div", { class: "wide paper", tabindex: "0", role: "group", "aria-label": heading }, element("img", { src: picture, alt: caption })),
    table && !picture && textTable(table, heading),
    element("figcaption", {}, caption),
    table && picture && numbersOf("Numbers", () => textTable(table, heading)));
}

/** What each cell cost, so that size is not taken for an idea. */
export function fairness({ fairness: table, tuning, search }) {
  const settings = tuning.length && [element("p", { class: "note" }, "Training settings that differ from the baseline's:"),
    element("ul", { class: "note" }, tuning.map((line) => element("li", {}, line)))];
  if (search) return null;
  return section("fairness", "Fairness", textTable(table, "Fairness"),
    element("p", { class: "note" }, "Means over finished trials. A larger, longer or stronger variant is not a better idea by itself."), settings || []);
}

/** Hours per answer. */
export function costs({ costs: table }) {
  return section("costs", "What each answer cost", textTable(table, "What each answer cost"),
    element("p", { class: "note" }, "Wall time of a cell's trials, failed ones included. Trials of a cell that others are compared with serve all of those contrasts."));
}

/** Everything that a reader should know before believing the numbers. */
export function warnings({ warnings: lines }) {
  return lines.length ? section("warnings", "Warnings", element("ul", {}, lines.map((line) => element("li", {}, line)))) : null;
}

/** How the numbers came about. */
export function methods({ methods: text }) {
  return section("methods", "Methods", element("p", {}, text));
}

/** Where the numbers come from. */
export function provenance({ provenance: pairs }) {
  return section("provenance", "Provenance", element("dl", {}, pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
}
