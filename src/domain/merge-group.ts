/**
 * One group of a merge: the canonical document, or the place for it, and the source documents that belong to it. A
 * source that is merged for the first time meets the rules for conflicts; one that was merged before brings what has
 * changed in it since, whatever the rules say (three-way, against its fields as they were last merged).
 */
import { isDeepStrictEqual } from 'node:util';

import { BSON_TYPE, elementsOf, MAX_DOCUMENT_BYTES } from '../kernel/raw-bson.js';
import { type Doc, deepFreeze, isPlainObject, TooLargeForBson, toBytes, toPlain, toTyped } from '../kernel/values.js';
import { NotCarried, oddity } from './carried.js';
import { changeOf, type Decision, fail, fieldChanges, tooLarge } from './change.js';
import { elementOf, type Sides, sideOf } from './conflict-value.js';
import { bytesOf, type Elements, type Mapped } from './mapped.js';
import type { ConflictRule, DocumentConflict, FieldConflict, MergeStep, OnConflict } from './merge-step.js';
import { isReject, keep } from './migration.js';
import { UnstorableValue } from './retype.js';
import { type StoredDocument, storedDocument, typedFields, typedId } from './stored-document.js';

/** A source document of a group, as it is now. */
export interface Member {
  readonly collection: string;
  readonly id: unknown;
  /** Null: it was deleted. */
  readonly document: StoredDocument | null;
  /** What `map` makes of it; null where it is gone. */
  readonly mapped: Mapped | null;
  /** Its elements as they were last merged; null before the first time. */
  readonly merged: Elements | null;
  /** The run had removed it, and the application has inserted it again. */
  readonly removed?: true;
}

/** A field in which a source and the canonical document differed, and whose value stayed. */
export interface MergeConflict {
  /** The source document. */
  readonly from: string;
  readonly id: unknown;
  readonly field: string;
  readonly kept: 'target' | 'source' | 'other';
}

/** The source document that meets the canonical one. */
type From = Pick<MergeConflict, 'from' | 'id'>;

/** What a person has decided, as a rule. */
const DECIDED = { target: 'keepTarget', source: 'keepSource' } as const;

export interface GroupDecision {
  readonly decision: Decision;
  readonly conflicts: readonly MergeConflict[];
}

class Refused extends Error {
  constructor(readonly reason: string) {
    super(reason);
  }
}

const isNull = (element: Buffer | undefined): boolean => element === undefined || element[0] === BSON_TYPE.null;

const plainValue = (name: string, element: Buffer | undefined): unknown =>
  element === undefined ? undefined : deepFreeze(toPlain(bytesOf(new Map([[name, element]])))[name]);

/** Fields by which a document says when it was last written, the likeliest first. */
const TIMES = ['updatedAt', 'updated_at', 'modifiedAt', 'lastModified', 'createdAt', 'created_at'];

/** When the document was last written, in ms, as it says itself; else when its ObjectId was made; null: not known. */
export function timeOf(document: StoredDocument): number | null {
  const dated = document.fields.filter(({ name, type }) => type === BSON_TYPE.date && TIMES.includes(name));
  const [first] = dated.sort((a, b) => TIMES.indexOf(a.name) - TIMES.indexOf(b.name));
  const at = first && typedFields(document, [first])[first.name];
  if (at instanceof Date && !Number.isNaN(at.getTime())) return at.getTime();
  const id = typedId(document) as { getTimestamp?: () => Date } | null | undefined;
  return typeof id?.getTimestamp === 'function' ? id.getTimestamp().getTime() : null;
}

/** The canonical document on its way. */
class Fold {
  readonly fields: Map<string, Buffer>;
  readonly conflicts: MergeConflict[] = [];
  /** When the value of a field was last written, where that is known. */
  readonly #times = new Map<string, number | null>();
  #isEmpty: boolean;

  constructor(
    private readonly step: MergeStep,
    document: StoredDocument,
  ) {
    this.fields = elementsOf(document.bytes);
    this.fields.delete('_id');
    this.#isEmpty = document.isAbsent === true;
    const time = document.isAbsent ? null : timeOf(document);
    for (const name of this.fields.keys()) this.#times.set(name, time);
  }

  first({ collection, id, document }: Member, elements: Elements): void {
    const { onConflict } = this.step;
    const time = document ? timeOf(document) : null;
    const from = { from: collection, id };
    if (typeof onConflict === 'function' && !this.#isEmpty) this.#decideWhole(onConflict, from, elements);
    else for (const [name, element] of elements) this.#meet(from, name, element, time);
    this.#isEmpty = false;
  }

  /** Only what changed in the source since it was last merged. */
  again(elements: Elements, merged: Elements): void {
    for (const [name, element] of elements) if (!merged.get(name)?.equals(element)) this.fields.set(name, element);
    for (const [name, element] of merged)
      if (!elements.has(name) && this.fields.get(name)?.equals(element)) this.fields.delete(name);
  }

  #put(name: string, element: Buffer, time: number | null): void {
    this.fields.set(name, element);
    this.#times.set(name, time);
  }

  #meet(from: From, name: string, element: Buffer, time: number | null): void {
    const own = this.fields.get(name);
    if (own === undefined || (isNull(own) && !isNull(element))) this.#put(name, element, time);
    else if (!own.equals(element) && !isNull(element)) this.#resolve(from, name, { own, element, time });
  }

  #resolve(from: From, name: string, met: { own: Buffer; element: Buffer; time: number | null }): void {
    const { own, element, time } = met;
    const [target, source] = [plainValue(name, own), plainValue(name, element)];
    if (isDeepStrictEqual(target, source)) return;
    const decided = this.step.decisions.kept(from.from, from.id, name);
    const rule = decided === undefined ? ruleFor(this.step.onConflict, name) : DECIDED[decided];
    if (typeof rule === 'function') {
      this.#decideField(rule, from, name, { target, source, own, element });
      return;
    }
    const isTaken = rule === 'keepSource' || (rule === 'newest' && isNewer(time, this.#times.get(name) ?? null));
    this.conflicts.push({ ...from, field: name, kept: isTaken ? 'source' : 'target' });
    if (isTaken) this.#put(name, element, time);
  }

  #decideField(
    rule: FieldConflict,
    { from, id }: From,
    field: string,
    { target, source, own, element }: { target: unknown; source: unknown; own: Buffer; element: Buffer },
  ): void {
    const sides: Sides = [
      sideOf(new Map([[field, own]]), { [field]: target }),
      sideOf(new Map([[field, element]]), { [field]: source }),
    ];
    const value = rule(target, source, { from, field, keep });
    const isTarget = Object.is(value, target);
    const isSource = !isTarget && Object.is(value, source);
    this.conflicts.push({ from, id, field, kept: isTarget ? 'target' : isSource ? 'source' : 'other' });
    if (isTarget) return;
    if (value === undefined) this.fields.delete(field);
    else this.#put(field, isSource ? element : elementOf(field, value, sides, { [field]: value }), null);
  }

  #decideWhole(rule: DocumentConflict, { from, id }: From, elements: Elements): void {
    const sides: Sides = [sideOf(this.fields), sideOf(elements)];
    const [target, source] = [sides[0].plain, sides[1].plain];
    const output: unknown = rule(target, source, { from, keep });
    if (isReject(output)) throw new Refused(`onConflict() rejected it: ${String(output.reason)}`);
    if (!isPlainObject(output)) throw new Refused('wanted a document from onConflict(), found none');
    for (const name of this.fields.keys()) if (!Object.hasOwn(output, name)) this.fields.delete(name);
    for (const [name, value] of Object.entries(output)) {
      if (name === '_id' || value === undefined || Object.is(value, target[name])) continue;
      const own = Object.is(value, source[name]) ? elements.get(name) : undefined;
      this.fields.set(name, own ?? elementOf(name, value, sides, output));
    }
    for (const name of elements.keys())
      if (!isDeepStrictEqual(target[name], source[name]) && target[name] !== undefined)
        this.conflicts.push({ from, id, field: name, kept: keptOf(output[name], target[name], source[name]) });
  }
}

function keptOf(value: unknown, target: unknown, source: unknown): MergeConflict['kept'] {
  if (isDeepStrictEqual(value, target)) return 'target';
  return isDeepStrictEqual(value, source) ? 'source' : 'other';
}

/** Without a time on both sides nobody is newer. */
const isNewer = (time: number | null, than: number | null): boolean => time !== null && than !== null && time > than;

function ruleFor(onConflict: OnConflict, field: string): ConflictRule | FieldConflict {
  if (typeof onConflict === 'string') return onConflict;
  if (typeof onConflict === 'function') return 'keepTarget';
  return (Object.hasOwn(onConflict, field) ? onConflict[field] : undefined) ?? 'keepTarget';
}

/** An entry of the provenance as a text: the same for the same bytes. */
export const noteOf = (collection: unknown, id: unknown): string => toBytes({ collection, id }).toString('hex');

/** `[{ collection, id }]`: what was there already, without the members that are gone, then those that are new. */
function provenanceOf(current: Buffer | undefined, name: string, members: readonly Member[]): Buffer | undefined {
  const there = current ? toTyped(bytesOf(new Map([[name, current]])))[name] : [];
  const entries = Array.isArray(there) ? (there as Doc[]) : [];
  const gone = new Set(members.flatMap(({ collection, id, document }) => (document ? [] : noteOf(collection, id))));
  const kept = entries.filter((entry) => !gone.has(noteOf(entry?.['collection'], entry?.['id'])));
  const known = new Set(kept.map((entry) => noteOf(entry?.['collection'], entry?.['id'])));
  const added = members
    .filter(({ document, mapped }) => document && mapped?.kind === 'mapped')
    .filter(({ collection, id }) => !known.has(noteOf(collection, id)));
  if (added.length === 0 && kept.length === entries.length) return current;
  const all = [...kept, ...added.map(({ collection, id }) => ({ collection, id }))];
  return elementsOf(toBytes({ [name]: all })).get(name);
}

/**
 * What becomes of the canonical document.
 *
 * @param document as it is now, or its place
 * @param members in the order in which they are merged
 */
export function decideGroup(document: StoredDocument, members: readonly Member[], step: MergeStep): GroupDecision {
  const bad = members.find(({ mapped }) => mapped?.kind === 'failed');
  if (bad?.mapped?.kind === 'failed') {
    const { code, message, at } = bad.mapped.failure;
    const failure = { code, message: `${bad.collection}: ${message}`, ...(at === undefined ? {} : { at }) };
    return { decision: { kind: 'failed', document, failure }, conflicts: [] };
  }
  try {
    return folded(document, members, step);
  } catch (error) {
    return { decision: refusal(document, error), conflicts: [] };
  }
}

function refusal(document: StoredDocument, error: unknown): Decision {
  if (error instanceof Refused) return fail(document, 'GODWIT_REJECTED', error.reason);
  if (error instanceof NotCarried) return fail(document, 'GODWIT_NOT_CARRIED', error.message);
  if (error instanceof UnstorableValue) return fail(document, 'GODWIT_TRANSFORM_VALUE', error.message);
  if (error instanceof TooLargeForBson) return tooLarge(document);
  // Its words may quote values of either document.
  const found = error instanceof Error ? error.name : 'something that is no error';
  return fail(document, 'GODWIT_TRANSFORM_THREW', `wanted a value from onConflict(), found ${found}`);
}

function folded(document: StoredDocument, members: readonly Member[], step: MergeStep): GroupDecision {
  const present = members.flatMap((member) =>
    member.mapped?.kind === 'mapped' ? [{ member, elements: member.mapped.elements }] : [],
  );
  // Nothing is made for those that are all gone, or were skipped; nor once more where the application has deleted it.
  const isNew = present.some(({ member }) => !member.merged);
  if (document.isAbsent && !isNew) return { decision: { kind: 'unchanged', document }, conflicts: [] };
  const fold = new Fold(step, document);
  for (const { member, elements } of present) {
    if (member.merged && !document.isAbsent) fold.again(elements, member.merged);
    else fold.first(member, elements);
  }
  const { provenance } = step;
  const noted = provenance === false ? undefined : provenanceOf(fold.fields.get(provenance), provenance, members);
  if (provenance !== false && noted) fold.fields.set(provenance, noted);
  return { decision: decided(document, fold.fields), conflicts: fold.conflicts };
}

function decided(document: StoredDocument, fields: Elements): Decision {
  const id = elementsOf(document.bytes).get('_id') as Buffer;
  const result = storedDocument(bytesOf(new Map([['_id', id], ...fields])));
  const { touched, changed, unset } = fieldChanges(document, result);
  const isSame = changed.length === 0 && unset.length === 0;
  if (isSame && !document.isAbsent) return { kind: 'unchanged', document };
  const odd = oddity(document, touched) ?? oddity(result, changed);
  if (odd) return fail(document, 'GODWIT_NOT_CARRIED', odd);
  const set = new Map(changed.map((field) => [field.name, typedFields(result, [field])[field.name]]));
  const change = changeOf(document, set, unset);
  if (change.after.length > MAX_DOCUMENT_BYTES) return tooLarge(document, change.after.length);
  return { kind: 'changed', change };
}
