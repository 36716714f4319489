/** Failures by code and message, with one example each: ten thousand of a kind are one line. */
import type { DocumentFailure } from '../domain/change.js';
import type { ShownId } from './shown-id.js';

export interface FailureGroup {
  readonly code: string;
  readonly message: string;
  readonly at?: string;
  count: number;
  readonly firstId: ShownId;
  /** Who has the key of the first, for a unique index. */
  readonly otherId?: ShownId;
}

export class FailureGroups {
  readonly #groups = new Map<string, FailureGroup>();

  add(failure: DocumentFailure, id: ShownId): void {
    const key = `${failure.code}\n${failure.message}`;
    const group = this.#groups.get(key);
    if (group) group.count += 1;
    else
      this.#groups.set(key, {
        code: failure.code,
        message: failure.message,
        ...(failure.at ? { at: failure.at } : {}),
        count: 1,
        firstId: id,
      });
  }

  get total(): number {
    return [...this.#groups.values()].reduce((sum, { count }) => sum + count, 0);
  }

  list(): FailureGroup[] {
    return [...this.#groups.values()].sort((a, b) => b.count - a.count);
  }
}
