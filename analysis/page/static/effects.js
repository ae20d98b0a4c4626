/** Forest plot: a row per contrast with its interval, its seeds and its verdict; every row can be focused. */

import { element, formatTick, inColour, numbersOf, section, shape, textTable } from "./dom.js";
import { extent, scale } from "./scales.js";

/** The section with the forest plot and its numbers. */
export function effects({ effects: shown, cells }) {
  if (!shown.effects.length) return null;
  const ends = shown.effects.flatMap(({ low, high, mean, differences }) => [low, high, mean, ...differences]);
  const place = scale(extent([...ends.filter((end) => end !== null), -shown.margin, shown.margin, 0]), [1, 99]);
  const rows = shown.effects.map((effect) => forestRow(effect, cells[effect.cell], shown.margin, place));
  const list = element("ol", { class: rows.length > MANY ? "forest long" : "forest", "aria-label": shown.axis }, rows);
  return section("effects", "Effects",
    element("figure", {}, list, axisOf(shown, place), element("figcaption", {}, shown.caption)),
    numbersOf("Contrasts in numbers", () => element("div", {}, textTable(shown.table, "Contrasts in numbers"), element("p", { class: "note" }, NOTE))));
}

/** Rows above which the plot scrolls by itself. */
const MANY = 24;
const NOTE =
  "Level: of the t interval; at these levels all intervals of the study cover at once, with 1 \u2212 alpha. p (adjusted): paired t " +
  "test, which the interval shows, scaled to all that the study judges; a verdict also needs the exact sign-flip p at alpha, " +
  "which takes six pairs at 0.05. TOST: two one-sided t tests against the margin. Early: decided before the last planned look, " +
  "where a difference is likely overstated. P(better): share of seeds on which the cell is better. Failures worst: sign-flip p of ranks when failed trials are ranked below all others.";

function forestRow(effect, cell, margin, place) {
  const at = (value) => `${place(value)}%`;
  const marks = [
    shape("rect", { class: "margin", x: at(-margin), width: `${place(margin) - place(-margin)}%`, y: 0, height: "100%" }),
    shape("line", { class: "zero", x1: at(0), x2: at(0), y1: 0, y2: "100%" }),
    ...effect.differences.map((difference) => shape("circle", { class: "seed", cx: at(difference), cy: 27, r: 2.5 })),
  ];
  if (effect.low !== null) marks.push(shape("line", { class: "interval", x1: at(effect.low), x2: at(effect.high), y1: 14, y2: 14 }));
  if (effect.mean !== null) marks.push(shape("circle", { class: "mean", cx: at(effect.mean), cy: 14, r: 5 }));
  const pairs = effect.n === effect.num_planned ? `n = ${effect.n}` : `n = ${effect.n} of ${effect.num_planned}`;
  return element("li", { tabindex: "0", class: effect.verdict, "aria-label": effect.sentence },
    element("span", { class: "name" }, inColour(cell.look, element("span", { class: "mark" })), cell.label),
    shape("svg", { class: "strip", height: 34, "aria-hidden": "true" }, marks),
    element("span", { class: "numbers" }, effect.numbers),
    element("span", { class: "word" }, `${effect.word}, ${pairs}`));
}

function axisOf({ axis }, place) {
  const ticks = place.ticks(5).flatMap((tick) => [
    shape("line", { class: "tick", x1: `${place(tick)}%`, x2: `${place(tick)}%`, y1: 0, y2: 4 }),
    shape("text", { x: `${place(tick)}%`, y: 17, "text-anchor": "middle" }, formatTick(tick)),
  ]);
  return element("div", { class: "forest-axis", "aria-hidden": "true" }, shape("svg", { class: "strip", height: 22 }, ticks), element("p", {}, axis));
}
