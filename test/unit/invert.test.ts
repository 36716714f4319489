import { serialize } from 'bson';
import { describe, expect, test } from 'vitest';
import {
  decodeEntries,
  decodeHashes,
  decodeUntouched,
  encodeImages,
  joinImages,
  splitImages,
} from '../../src/domain/audit-entry.js';
import { changeOf, decide, plainOf } from '../../src/domain/change.js';
import { invert } from '../../src/domain/invert.js';
import { storedDocument } from '../../src/domain/stored-document.js';
import { sha256 } from '../../src/kernel/raw-bson.js';
import { type Doc, deepFreeze, toTyped } from '../../src/kernel/values.js';

const stored = (document: object) => storedDocument(Buffer.from(serialize(document)));

/** The audit entry of a document that `up` changed, as it comes back from the audit. */
async function entryOf(document: object, up: (doc: Doc) => unknown) {
  const before = stored(document);
  const plain = deepFreeze(plainOf(before));
  const decision = decide(before, plain, up(plain));
  if (decision.kind !== 'changed') throw new Error(`wanted a change, found ${decision.kind}`);
  const [entry] = decodeEntries(await encodeImages([decision.change], []));
  if (!entry) throw new Error('wanted an entry');
  return { entry, after: decision.change.after };
}

const BEFORE = { _id: 1, mail: 'A', fax: '1', list: [1, 2], note: 'n' };
const up = ({ fax, ...doc }: Doc): Doc => ({ ...doc, mail: 'a', list: [1], v: 2 });

/** What the inverse makes of the document as it is now. */
async function inverted(now: object, onConflict: 'report' | 'force' = 'report') {
  const { entry } = await entryOf(BEFORE, up);
  const current = stored(now);
  const inverse = invert(entry, current, sha256(current.bytes), onConflict);
  if (inverse.kind !== 'fields') return { kind: inverse.kind };
  return {
    ends: JSON.parse(JSON.stringify(plainOf(storedDocument(changeOf(current, inverse.set, inverse.unset).after)))),
    conflicts: inverse.conflicts.map(({ field }) => field),
  };
}

const AFTER = { _id: 1, mail: 'a', list: [1], note: 'n', v: 2 };

describe('the inverse of a change', () => {
  test('is the exact before image where the document is as the run left it', async () => {
    expect(await inverted(AFTER)).toEqual({ kind: 'exact' });
  });

  test.each<[string, object, object]>([
    ['is nothing where the document is as before', BEFORE, { kind: 'alreadyBack' }],
    [
      'is nothing where the changed fields are as before, whatever the others',
      { ...BEFORE, note: 'x', more: 1 },
      { kind: 'alreadyBack' },
    ],
    ['keeps another field that was edited', { ...AFTER, note: 'x' }, { ends: { ...BEFORE, note: 'x' }, conflicts: [] }],
    ['keeps a field that came later', { ...AFTER, more: 1 }, { ends: { ...BEFORE, more: 1 }, conflicts: [] }],
    [
      'keeps another field removed',
      { _id: 1, mail: 'a', list: [1], v: 2 },
      { ends: { _id: 1, mail: 'A', list: [1, 2], fax: '1' }, conflicts: [] },
    ],
    ['goes by value, not by order', { _id: 1, v: 2, list: [1], note: 'n', mail: 'a' }, { ends: BEFORE, conflicts: [] }],
    [
      'leaves a changed field with a third value',
      { ...AFTER, mail: 'x' },
      { ends: { ...BEFORE, mail: 'x' }, conflicts: ['mail'] },
    ],
    [
      'takes an array as one value',
      { ...AFTER, list: [1, 3] },
      { ends: { ...BEFORE, list: [1, 3] }, conflicts: ['list'] },
    ],
    ['leaves an added field with another value', { ...AFTER, v: 3 }, { ends: { ...BEFORE, v: 3 }, conflicts: ['v'] }],
    [
      'leaves a removed field with another value',
      { ...AFTER, fax: '9' },
      { ends: { ...BEFORE, fax: '9' }, conflicts: ['fax'] },
    ],
    [
      'leaves a changed field that was removed',
      { _id: 1, list: [1], note: 'n', v: 2 },
      { ends: { _id: 1, list: [1, 2], note: 'n', fax: '1' }, conflicts: ['mail'] },
    ],
    [
      'tells an equal number of another type apart',
      { ...AFTER, v: 2.5 },
      { ends: { ...BEFORE, v: 2.5 }, conflicts: ['v'] },
    ],
  ])('%s', async (_what, now, expected) => {
    expect(await inverted(now)).toEqual(expected);
  });

  test('when forced overwrites what has a third value, and says so', async () => {
    expect(await inverted({ ...AFTER, mail: 'x', v: 3, fax: '9', note: 'x' }, 'force')).toEqual({
      ends: { ...BEFORE, note: 'x' },
      conflicts: ['mail', 'v', 'fax'],
    });
  });

  test('of a field whose name objects are bad at is found', async () => {
    const odd = new Map<string, unknown>([
      ['_id', 1],
      ['__proto__', 'A'],
      ['a.b', 1],
      ['$x', 1],
      ['', 1],
      ['7', 1],
    ]);
    const { entry, after } = await entryOf(odd, (doc) => ({ _id: doc['_id'] }));
    expect([...entry.unset].sort()).toEqual(['', '$x', '7', '__proto__', 'a.b']);
    const edited = storedDocument(
      Buffer.from(serialize(new Map<string, unknown>([...Object.entries(toTyped(after)), ['more', 1]]) as never)),
    );
    const inverse = invert(entry, edited, sha256(edited.bytes), 'report');
    expect(inverse.kind === 'fields' && [...inverse.set.keys()].sort()).toEqual(['', '$x', '7', '__proto__', 'a.b']);
  });
});

describe('the images of a batch', () => {
  const changes = Array.from({ length: 40 }, (_, n) => {
    const before = stored({ _id: n, mail: `P${n}@X.test`, noise: Math.sin(n) });
    return changeOf(
      before,
      new Map<string, unknown>([
        ['mail', `p${n}@x.test`],
        ['7', n],
      ]),
      ['noise'],
    );
  });
  const untouched = [stored({ _id: 'left', a: 1 }), stored({ _id: null })];

  test('come back as they went in', async () => {
    const images = await encodeImages(changes, untouched);
    const entries = decodeEntries(images);
    expect(entries.map(({ before }) => before.bytes)).toEqual(changes.map(({ before }) => before.bytes));
    expect(entries.map(({ hash }) => hash)).toEqual(changes.map(({ hash }) => hash));
    expect(entries.map(({ unset }) => unset)).toEqual(changes.map(({ unset }) => unset));
    expect(decodeHashes(images).map(({ key }) => key)).toEqual(changes.map(({ before }) => before.key));
    expect(decodeUntouched(images)).toEqual(untouched.map(({ key }) => key));
  });

  test('come back from pieces of any size', async () => {
    const images = await encodeImages(changes, untouched);
    for (const size of [1, 7, 100, 1_000, 1_000_000]) {
      const pieces = splitImages(images, size);
      for (const { before, patch, hashes, untouched: ids } of pieces)
        expect(before.length + patch.length + hashes.length + ids.length).toBeLessThanOrEqual(size);
      const binary = (bytes: Buffer) => ({ buffer: bytes, position: bytes.length });
      const parts = pieces.map((piece) =>
        Object.fromEntries(Object.entries(piece).map(([name, bytes]) => [name, binary(bytes)])),
      );
      expect(joinImages(parts as never)).toEqual(images);
    }
  });
});
