/** Source documents of a merge in the canonical shape, and what they have in common with others. */
import type { Document } from 'mongodb';
import type { DocumentFailure } from '../domain/change.js';
import { MERGED_INTO } from '../domain/legacy-step.js';
import { identityKeys, type Mapped, mappedFrom } from '../domain/mapped.js';
import type { Member } from '../domain/merge-group.js';
import type { MergeSource, MergeStep } from '../domain/merge-step.js';
import { keep, reject, skip, type TransformContext } from '../domain/migration.js';
import { type StoredDocument, typedId, withoutField } from '../domain/stored-document.js';
import { elementsOf } from '../kernel/raw-bson.js';
import { type Doc, toPlain } from '../kernel/values.js';
import { keyOf } from '../mongo/lookups.js';
import { isFailure, type Locate, readPlain, toFailure, tooLate } from './apply-transform.js';
import { eachGuarded } from './guarded.js';

/** How the author's functions are called. */
export interface Author {
  readonly locate: Locate;
  /** Longest time of one call, in ms. */
  readonly timeoutMs: number;
}

export interface MappedSource {
  readonly mapped: Mapped;
  /** Null where `map` or a rule fails: it is nobody's double then. */
  readonly keys: readonly string[] | null;
}

const CONTEXT = { keep, skip, reject } as TransformContext<Record<string, Document>>;

const bad = (failure: DocumentFailure): MappedSource => ({ mapped: { kind: 'failed', failure }, keys: null });

/** `map` of one document. */
function mapOne(source: MergeSource, document: StoredDocument, plain: Doc, { locate }: Author): Mapped {
  try {
    return mappedFrom(document, plain, source.map(plain, CONTEXT));
  } catch (error) {
    return { kind: 'failed', failure: toFailure(error, plain, locate, 'map()') };
  }
}

function keysOf(step: MergeStep, mapped: Mapped, plain: Doc, { locate }: Author): MappedSource {
  if (mapped.kind !== 'mapped') return { mapped, keys: mapped.kind === 'skipped' ? [] : null };
  try {
    return { mapped, keys: identityKeys(step.identity, mapped.elements, plain['_id'], keyOf) };
  } catch (error) {
    return bad(toFailure(error, plain, locate, 'identity()'));
  }
}

/** One each, in their order. */
export function mapSources(
  step: MergeStep,
  source: MergeSource,
  documents: readonly StoredDocument[],
  author: Author,
): MappedSource[] {
  const one = (stored: StoredDocument): MappedSource => {
    // The mark is Godwit's own: `map` never sees it.
    const document = step.legacy === 'mark' ? withoutField(stored, MERGED_INTO) : stored;
    const plain = readPlain(document);
    if (isFailure(plain)) return bad(plain);
    const found = keysOf(step, mapOne(source, document, plain, author), plain, author);
    const isApart = step.decisions.isApart(source.collection, typedId(document));
    return isApart && found.keys ? { ...found, keys: [] } : found;
  };
  return eachGuarded(documents, one, author.timeoutMs, () => bad(tooLate('map()', author.timeoutMs)));
}

/** Keys of documents of the canonical collection itself; null where a rule fails on one. */
export function keysOfTargets(
  step: MergeStep,
  documents: readonly StoredDocument[],
  author: Author,
): (readonly string[] | null)[] {
  const one = (document: StoredDocument): string[] | null => {
    try {
      return identityKeys(step.identity, elementsOf(document.bytes), toPlain(document.bytes)['_id'], keyOf);
    } catch {
      return null;
    }
  };
  return eachGuarded(documents, one, author.timeoutMs, () => null);
}

/** The same members, mapped once more, in their order. */
export function mapAgain(step: MergeStep, members: readonly Member[], author: Author): Member[] {
  const again = new Map<Member, Mapped>();
  for (const source of step.sources) {
    const own = members.filter(({ collection, document }) => collection === source.collection && document);
    const documents = own.flatMap(({ document }) => document ?? []);
    for (const [at, { mapped }] of mapSources(step, source, documents, author).entries()) {
      const member = own[at];
      if (member) again.set(member, mapped);
    }
  }
  return members.map((member) => ({ ...member, mapped: again.get(member) ?? null }));
}
