/** How a search goes: its values in the order they came, which settings matter, and what no other trial beats. */

import { element, formatNumber, numbersOf, section, shape, textTable } from "./dom.js";
import { extent, scale } from "./scales.js";

const HEIGHT = 180;
/** Where points begin, in percent: the numbers of the lines stand before them. */
const LEFT = 12;

/** The section of a search; nothing for any other study. */
export function search({ search_progress: shown }) {
  if (!shown) return null;
  return section("search-progress", "The search", history(shown.history), importance(shown.importance), tradeOff(shown.trade_off));
}

function history({ label, values, best, names, table }) {
  if (!values.length) return element("p", {}, "No trial has finished yet.");
  const x = scale([0.5, values.length + 0.5], [LEFT, 99]);
  const y = scale(extent([...values, ...best]), [94, 6]);
  const steps = best.flatMap((value, index) => {
    const level = shape("line", { class: "best", x1: `${x(index + 0.5)}%`, x2: `${x(index + 1.5)}%`, y1: `${y(value)}%`, y2: `${y(value)}%` });
    const rise = index > 0 && shape("line", { class: "best", x1: `${x(index + 0.5)}%`, x2: `${x(index + 0.5)}%`, y1: `${y(best[index - 1])}%`, y2: `${y(value)}%` });
    return [level, rise].filter(Boolean);
  });
  const dots = values.map((value, index) => dot(x(index + 1), y(value), `${names[index]}: ${formatNumber(value)}`, value === best[index] ? "seed leader" : "seed"));
  return figure(`${label} in the order of trials`, [...ticksAcross(y), ...steps, ...dots],
    `${label}: a dot for each trial in the order they ended; the line is the best so far.`, table);
}

function importance({ rows, caption, table }) {
  if (!rows.length) return element("p", { class: "note" }, caption);
  const most = Math.max(...rows.map(({ share }) => share), 0.01);
  const bars = rows.map(({ label, share, text }) => element("li", {},
    element("span", { class: "name" }, label),
    shape("svg", { class: "strip", height: 14, "aria-hidden": "true" }, shape("rect", { class: "share", width: `${(100 * share) / most}%`, height: 14 })),
    element("span", { class: "numbers" }, text)));
  return element("figure", {}, element("h3", {}, "Which settings matter"), element("ol", { class: "bars" }, bars), element("figcaption", {}, caption), numbersOf("Numbers", () => textTable(table, "Which settings matter")));
}

function tradeOff(shown) {
  if (!shown || !shown.points.length) return null;
  const x = scale(extent(shown.points.map((point) => point.x)), [LEFT, 97]);
  const y = scale(extent(shown.points.map((point) => point.y)), [82, 8]);
  const dots = shown.points.map((point) => dot(x(point.x), y(point.y), `${point.name}: ${formatNumber(point.y)}, ${formatNumber(point.x)}`, point.is_front ? "front" : "seed"));
  return figure(`${shown.y_label} against ${shown.x_label}`, [...ticksAcross(y), ...ticksBelow(x), ...dots],
    `${shown.y_label} (up) against ${shown.x_label} (to the right). Filled: trials that no other one beats in every objective.`, shown.table);
}

function dot(x, y, title, kind) {
  return shape("circle", { class: kind, cx: `${x}%`, cy: `${y}%`, r: 4 }, shape("title", {}, title));
}

function ticksAcross(y) {
  return y.ticks(4).flatMap((tick) => [
    shape("line", { class: "rule", x1: 0, x2: "100%", y1: `${y(tick)}%`, y2: `${y(tick)}%` }),
    shape("text", { x: 0, y: `${y(tick)}%`, dy: "-0.3em" }, formatNumber(tick)),
  ]);
}

function ticksBelow(x) {
  return x.ticks(4).map((tick) => shape("text", { x: `${x(tick)}%`, y: "98%", "text-anchor": "middle" }, formatNumber(tick)));
}

function figure(heading, marks, caption, table) {
  return element("figure", {}, element("h3", {}, heading),
    shape("svg", { class: "strip plot", height: HEIGHT, role: "img", "aria-label": caption }, marks),
    element("figcaption", {}, caption),
    numbersOf("Numbers", () => textTable(table, heading)));
}
