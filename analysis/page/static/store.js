/** What a reader has chosen: shared by every part of a page, and kept when the page's data are replaced. */

export class Store {
  #values = new Map();
  #listeners = new Map();

  /** The value of a choice, or what it is until somebody chooses. */
  get(name, otherwise) {
    return this.#values.has(name) ? this.#values.get(name) : otherwise;
  }

  /** Set a choice and call those who follow it. */
  set(name, value) {
    this.#values.set(name, value);
    const following = (this.#listeners.get(name) ?? []).filter(({ owner }) => owner.isConnected);
    this.#listeners.set(name, following);
    for (const { call } of following) call(value);
  }

  /** Call `call` when the choice changes, for as long as `owner` is part of the document. */
  follow(name, owner, call) {
    const following = this.#listeners.get(name) ?? [];
    this.#listeners.set(name, [...following, { owner, call }]);
  }
}

/** Cells that are switched off, by name: they stay off when a study grows. */
export function hiddenCells(store) {
  return store.get("hidden", new Set());
}

/** Indices of the trials that ranges select; null where all are. */
export function selectedTrials(store) {
  return store.get("selected", null);
}
