/**
 * Whether a transform keeps its promises on a document: the same result twice, nothing left to do on its own result,
 * and a `down` that leads back. Checked on every document of a dry run.
 */

import type { Change, Decision } from '../domain/change.js';
import { storedDocument } from '../domain/stored-document.js';

export interface PurityFinding {
  readonly kind: 'not-idempotent' | 'not-deterministic' | 'not-inverse';
  /** Top-level fields that differ. */
  readonly fields: readonly string[];
}

/** What the step made of things once more. */
export interface Evidence {
  /** Of the same documents; null where it cannot be another. */
  readonly again: readonly Decision[] | null;
  /** Of its own results, in the order of the changes. */
  readonly results: readonly Decision[];
  /** `down` of its own results, in the same order; null without one. */
  readonly back: readonly Decision[] | null;
}

const fieldsOf = (change: Change): string[] => [...change.set.keys(), ...change.unset];

function isSame(a: Decision, b: Decision | undefined): boolean {
  if (a.kind !== b?.kind) return false;
  return a.kind !== 'changed' || b.kind !== 'changed' || a.change.after.equals(b.change.after);
}

/** Findings for one batch, by the position of the decision. */
export function checkPurity(
  decisions: readonly Decision[],
  { again, results, back }: Evidence,
): Map<number, PurityFinding[]> {
  const findings = new Map<number, PurityFinding[]>();
  const note = (at: number, finding: PurityFinding): void => {
    findings.set(at, [...(findings.get(at) ?? []), finding]);
  };
  for (const [at, decision] of decisions.entries()) {
    const second = again?.[at];
    if (!again || isSame(decision, second)) continue;
    const fields =
      decision.kind === 'changed' && second?.kind === 'changed' ? differing(decision.change, second.change) : [];
    note(at, { kind: 'not-deterministic', fields });
  }

  const changed = decisions.flatMap((decision, at) =>
    decision.kind === 'changed' ? [{ at, change: decision.change }] : [],
  );
  for (const [index, decision] of results.entries()) {
    const at = changed[index]?.at ?? 0;
    if (decision.kind === 'changed') note(at, { kind: 'not-idempotent', fields: fieldsOf(decision.change) });
    else if (decision.kind === 'failed') note(at, { kind: 'not-idempotent', fields: [] });
  }

  for (const [index, decision] of (back ?? []).entries()) {
    const original = changed[index];
    if (!original || (decision.kind === 'changed' && sameContent(decision.change.after, original.change))) continue;
    note(original.at, { kind: 'not-inverse', fields: decision.kind === 'changed' ? fieldsOf(decision.change) : [] });
  }
  return findings;
}

function differing(a: Change, b: Change): string[] {
  const [first, second] = [storedDocument(a.after), storedDocument(b.after)];
  const values = new Map(second.fields.map((field) => [field.name, second.bytes.subarray(field.start, field.end)]));
  return first.fields
    .filter((field) => !values.get(field.name)?.equals(first.bytes.subarray(field.start, field.end)))
    .map(({ name }) => name);
}

/** `down` may append fields in another order: the fields must be the same, byte for byte, wherever they stand. */
function sameContent(back: Buffer, { before }: Change): boolean {
  const found = storedDocument(back);
  if (found.fields.length !== before.fields.length) return false;
  const values = new Map(found.fields.map((field) => [field.name, found.bytes.subarray(field.start, field.end)]));
  return before.fields.every((field) => values.get(field.name)?.equals(before.bytes.subarray(field.start, field.end)));
}
