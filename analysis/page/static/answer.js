/** The answer: question, terms, progress and price, and one sentence per verdict. */

import { element, inColour } from "./dom.js";

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
  const sentences = effects.effects.map(({ verdict, sentence, cell }) => {
    const [start, ...rest] = sentence.split(":");
    const mark = inColour(cells[cell].look, element("span", { class: "mark", "aria-hidden": "true" }));
    return element("li", { class: verdict }, mark, element("strong", {}, start), rest.length ? `:${rest.join(":")}` : "");
  });
  return element("ul", { class: "verdicts", id: "answer", "aria-label": "Verdicts" }, sentences);
}
