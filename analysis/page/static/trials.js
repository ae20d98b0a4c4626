/** The table of trials: sorted, filtered, 200 rows at a time; a row opens its settings, the end of its log, its files. */

import { element, formatNumber, inColour, plural, section, textTable, wide } from "./dom.js";
import { hiddenCells, selectedTrials } from "./store.js";

const ROWS = 200;
const NOT_STORED = "none";

/** The section with the table. */
export function trials(page, store) {
  return new TrialsView(page, store).section();
}

class TrialsView {
  constructor(page, store) {
    this.page = page;
    this.store = store;
    this.first = 0;
    /** Signatures of the trials whose rows are open: they stay so when the data are replaced. */
    this.opened = store.get("opened", new Set());
    store.set("opened", this.opened);
    this.columns = page.trials.columns.filter((column) => column.group !== "setting" || !column.is_constant);
    this.body = element("tbody");
    this.status = element("p", { role: "status", class: "note" });
    this.pager = element("div", { class: "pager" });
  }

  section() {
    const filter = element("input", { type: "search", id: "filter", value: this.store.get("filter", ""), on: { input: ({ target }) => this.filter(target.value) } });
    this.heads = this.columns.map((column) => this.head(column));
    const table = element("table", { class: "trials" }, element("thead", {}, element("tr", {}, this.heads[0], element("th", { scope: "col", class: "text" }, "more"), this.heads.slice(1))), this.body);
    const made = section("trials", "Trials",
      element("div", { class: "controls" }, element("label", { for: "filter" }, "Filter "), filter), this.status, wide("Trials", table), this.pager);
    for (const name of ["hidden", "selected"]) this.store.follow(name, made, () => this.show(0));
    this.show(0);
    return made;
  }

  head(column) {
    const button = element("button", { type: "button", on: { click: () => this.sort(column.name) } }, column.label);
    return element("th", { scope: "col", class: column.is_number ? null : "text" }, button);
  }

  filter(text) {
    this.store.set("filter", text);
    this.show(0);
  }

  sort(name) {
    const before = this.store.get("sort", {});
    this.store.set("sort", { name, isDescending: before.name === name && !before.isDescending });
    this.show(0);
  }

  /** Indices of the trials that are left, in order. */
  chosen() {
    const { trials: all, cells } = this.page;
    const hidden = hiddenCells(this.store);
    const selected = selectedTrials(this.store);
    const words = this.store.get("filter", "").toLowerCase().split(/\s+/).filter(Boolean);
    const left = all.seeds.map((_, trial) => trial).filter((trial) =>
      !hidden.has(cells[all.cells[trial]].name) && (!selected || selected.has(trial)) && words.every((word) => this.text(trial).includes(word)));
    const { name, isDescending } = this.store.get("sort", {});
    const column = this.columns.find((candidate) => candidate.name === name);
    return column ? left.sort((one, other) => compare(column, one, other, isDescending) || one - other) : left;
  }

  /** What a filter looks into, in lower case. */
  text(trial) {
    this.texts ??= new Map();
    if (!this.texts.has(trial)) {
      const { signatures, reasons } = this.page.trials;
      const shown = this.columns.map((column) => entry(column, trial));
      this.texts.set(trial, [...shown, signatures[trial], reasons[trial]].join(" ").toLowerCase());
    }
    return this.texts.get(trial);
  }

  show(first) {
    this.first = first;
    const chosen = this.chosen();
    const rows = chosen.slice(first, first + ROWS);
    this.body.replaceChildren(...rows.flatMap((trial) => this.row(trial)));
    const { name, isDescending } = this.store.get("sort", {});
    this.columns.forEach((column, index) => {
      this.heads[index].setAttribute("aria-sort", column.name !== name ? "none" : isDescending ? "descending" : "ascending");
    });
    const total = this.page.trials.seeds.length;
    const range = rows.length < chosen.length ? `, ${first + 1} to ${first + rows.length} shown` : "";
    this.status.textContent = `${chosen.length.toLocaleString("en-US")} of ${plural(total, "trial")}${range}.`;
    const step = (label, to) => element("button", { type: "button", disabled: to < 0 || to >= chosen.length, on: { click: () => this.show(to) } }, label);
    this.pager.replaceChildren(...(chosen.length > ROWS ? [step("Earlier", first - ROWS), step("Later", first + ROWS)] : []));
  }

  row(trial) {
    const look = this.page.cells[this.page.trials.cells[trial]].look;
    const signature = this.page.trials.signatures[trial];
    const entries = this.columns.map((column, index) => {
      const mark = index === 0 ? inColour(look, element("span", { class: "mark", "aria-hidden": "true" })) : null;
      return element(index ? "td" : "th", { class: column.is_number ? null : "text", scope: index ? null : "row" }, mark, entry(column, trial));
    });
    const more = element("button", { type: "button", "aria-expanded": "false", "aria-label": `open settings, log and files of trial ${signature}` }, "open");
    const row = element("tr", {}, entries[0], element("td", { class: "text" }, more), entries.slice(1));
    let opened = null;
    const show = (isOpen) => {
      opened?.remove();
      opened = isOpen ? element("tr", {}, element("td", { colspan: this.columns.length + 1, class: "text opened" }, this.details(trial))) : null;
      if (opened) row.after(opened);
      more.setAttribute("aria-expanded", String(isOpen));
      more.textContent = isOpen ? "close" : "open";
      this.opened.delete(signature);
      if (isOpen) this.opened.add(signature);
    };
    more.addEventListener("click", () => show(!opened));
    if (this.opened.has(signature)) queueMicrotask(() => show(true));
    return row;
  }

  details(trial) {
    const { trials: all } = this.page;
    const facts = [["trial", all.signatures[trial]], ["reason", all.reasons[trial]], ["log", all.log_files[trial]], ["model", all.model_files[trial]]];
    return element("div", {},
      element("dl", {}, facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
      this.settings(all.configs[trial], all),
      all.model_files[trial] && this.page.stripOf?.(all.signatures[trial]),
      all.log_ends[trial] && element("pre", { tabindex: "0", role: "group", "aria-label": "End of the log" }, all.log_ends[trial]));
  }

  settings(place, { base, changes }) {
    if (place < 0) return element("p", { class: "note" }, "This trial has not run, so its settings are not in the ledger.");
    const own = changes[place];
    const apart = Object.entries(own).map(([name, value]) => [name, written(value), written(base[name])]);
    const all = Object.keys({ ...base, ...own }).map((name) => [name, written(name in own ? own[name] : base[name])]);
    const differing = apart.length
      ? textTable({ titles: ["setting", "here", "baseline"], rows: apart, num_text_columns: 3 }, "Settings that differ from the baseline")
      : element("p", { class: "note" }, "Every setting is the baseline's.");
    return element("div", {}, differing, element("details", {}, element("summary", {}, `All ${all.length} settings`),
      textTable({ titles: ["setting", "value"], rows: all, num_text_columns: 2 }, "All settings")));
  }
}

function entry(column, trial) {
  const value = column.values[trial];
  return column.is_number || value === null ? formatNumber(value) : String(value);
}

function written(value) {
  return value === null || value === undefined ? NOT_STORED : String(value);
}

/** By size or by the order of the space; trials without a value stand last either way. */
function compare({ values, order, is_number: isNumber }, one, other, isDescending) {
  const [left, right] = [values[one], values[other]];
  if (left === null || right === null) return (left === null) - (right === null);
  return (isNumber ? left - right : order.indexOf(left) - order.indexOf(right)) * (isDescending ? -1 : 1);
}
