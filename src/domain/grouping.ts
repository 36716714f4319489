/**
 * Who is the same as whom: documents that share a key, or are joined by others that do, are one group. Union-find with
 * the least member as the root (Tarjan 1975; halving of paths): the groups are the same whatever the order of the keys.
 */
export class Grouping {
  readonly #parents: number[] = [];
  readonly #byKey = new Map<string, number>();

  /** @returns the number of this document: they count up, and the least of a group leads it */
  add(keys: readonly string[]): number {
    const number = this.#parents.length;
    this.#parents.push(number);
    for (const key of keys) {
      const other = this.#byKey.get(key);
      if (other === undefined) this.#byKey.set(key, number);
      else this.#join(number, other);
    }
    return number;
  }

  /** The least number of the document's group. */
  leaderOf(number: number): number {
    let at = number;
    for (let parent = this.#parentOf(at); parent !== at; parent = this.#parentOf(at)) {
      this.#parents[at] = this.#parentOf(parent);
      at = this.#parentOf(at);
    }
    return at;
  }

  #parentOf(number: number): number {
    const parent = this.#parents[number];
    if (parent === undefined) throw new RangeError(`no document has the number ${number}`);
    return parent;
  }

  #join(one: number, other: number): void {
    const [a, b] = [this.leaderOf(one), this.leaderOf(other)];
    this.#parents[Math.max(a, b)] = Math.min(a, b);
  }
}
