/** The answer: question, terms, progress and price, and one sentence per verdict. */

import { element, inColour, plural } from "./dom.js";

/** Contrasts that are read before everything else; further ones are a click away. */
const AT_ONCE = 12;

/** The header of a study's page. */
export function header({ header: shown, search }) {
  const published = shown.published.map(([name, value]) => ` \u00b7 ${name} ${value}`).join("");
  const changes = shown.plan_changes.map((line) => element("p", { class: "changed" }, element("strong", {}, line)));
  const last = shown.last_finished && `Last trial finished ${shown.last_finished}.`;
  return element("header", {},
    element("p", { class: "kicker" }, shown.study + published),
    element("h1", {}, shown.question),
    element("p", { class: "lead" }, [shown.terms, search?.sentence].filter(Boolean).join(" ")),
    element("p", { class: "lead numbers" }, [shown.progress, shown.cost, last].filter(Boolean).join(" ")),
    changes);
}

/** Verdicts as sentences, in the words of the terminal. */
export function answer({ effects, search, cells }) {
  if (search) return null;
  if (!effects.effects.length) return element("p", {}, "No contrast: the study has only its baseline.");
  const { first, others } = firstOf(effects.effects);
  const list = (shown) => element("ul", { class: "verdicts" }, shown.map((effect) => sentenceOf(effect, cells)));
  return element("section", { id: "answer", "aria-label": "Verdicts" },
    effects.effects.length > 1 && element("p", {}, element("strong", {}, countsOf(effects.effects))),
    list(first),
    element("p", { class: "note" }, effects.error_rate),
    others.length > 0 && element("details", { class: "open-on-paper" }, element("summary", {}, `${others.length} further contrasts`), list(others)));
}

/** `Of 9 contrasts: helps 1, undecided 8.` */
function countsOf(effects) {
  const counts = new Map(["helps", "hurts", "equivalent"].map((word) => [word, 0]));
  for (const { verdict, word } of effects) {
    const name = verdict === "undecided" ? word : verdict;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return `Of ${plural(effects.length, "contrast")}: ${[...counts].filter(([, count]) => count).map(([word, count]) => `${word} ${count}`).join(", ")}.`;
}

/** The contrasts to read at once, in the plan's order: all of a few, the decided ones of many. */
function firstOf(effects) {
  if (effects.length <= AT_ONCE) return { first: effects, others: [] };
  const decided = effects.filter(({ verdict }) => verdict !== "undecided");
  const first = new Set((decided.length ? decided : effects).slice(0, AT_ONCE));
  return { first: [...first], others: effects.filter((effect) => !first.has(effect)) };
}

function sentenceOf({ verdict, sentence, cell }, cells) {
  const [start, ...rest] = sentence.split(":");
  const mark = inColour(cells[cell].look, element("span", { class: "mark", "aria-hidden": "true" }));
  return element("li", { class: verdict }, mark, element("strong", {}, start), rest.length ? `:${rest.join(":")}` : "");
}
