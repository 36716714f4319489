/** Which fields a migration changes, how often, and between which types. */
import { type FieldDifference, foldedPath, typeOf } from '../domain/differences.js';

/** Of one path; that of an item of an array stands for all of them: `lines[].price`. */
export interface FieldCounts {
  /** Documents in which a value there is set (added or changed). */
  set: number;
  /** Documents in which one is removed. */
  unset: number;
  /** Documents in which the type of one changes. */
  typeChange: number;
  /** `int32 -> array<object>`, and in how many documents. */
  readonly types: Record<string, number>;
  /** True when the value is new in every document where it is set. */
  added: boolean;
}

/** Paths beyond this number are counted under `…`: documents keyed by ids would fill the report. */
const MAX_PATHS = 400;
const OTHERS = '…';

/** What happens to one path in one document. */
interface Event {
  isSet: boolean;
  isUnset: boolean;
  isOld: boolean;
  readonly types: Set<string>;
}

function eventOf(event: Event, { before, after }: FieldDifference): void {
  if (after === undefined) event.isUnset = true;
  else event.isSet = true;
  if (before !== undefined) event.isOld = true;
  const [from, to] = [typeOf(before), typeOf(after)];
  if (before !== undefined && after !== undefined && from !== to) event.types.add(`${from} -> ${to}`);
}

/** Counts differences by path. */
export class FieldHistogram {
  readonly #counts = new Map<string, FieldCounts>();

  /** @param found in one document */
  add(found: readonly FieldDifference[]): void {
    const events = new Map<string, Event>();
    for (const difference of found) {
      const name = foldedPath(difference.path);
      const event = events.get(name) ?? { isSet: false, isUnset: false, isOld: false, types: new Set<string>() };
      events.set(name, event);
      eventOf(event, difference);
    }
    for (const [name, event] of events) this.#count(name, event);
  }

  #count(name: string, { isSet, isUnset, isOld, types }: Event): void {
    const key = this.#counts.has(name) || this.#counts.size < MAX_PATHS ? name : OTHERS;
    const counts = this.#counts.get(key) ?? { set: 0, unset: 0, typeChange: 0, types: {}, added: true };
    this.#counts.set(key, counts);
    if (isSet) counts.set += 1;
    if (isUnset) counts.unset += 1;
    if (isOld) counts.added = false;
    if (types.size > 0) counts.typeChange += 1;
    for (const label of types) counts.types[label] = (counts.types[label] ?? 0) + 1;
  }

  toJSON(): Record<string, FieldCounts> {
    return Object.fromEntries(this.#counts);
  }
}
