import { ObjectId } from 'bson';
import { describe, expect, test } from 'vitest';
import { BRACKETS, type Chunk, coveringRanges, type IdRange, rangeFilter } from '../../src/domain/chunk.js';
import { EDGES, isLive, LIVE_STATES, mayGo, RUN_STATES } from '../../src/domain/run.js';
import { ERROR_CODES } from '../../src/errors.js';
import { didYouMean, nearest } from '../../src/kernel/nearest.js';
import { assemble, scanFields, splitDocuments } from '../../src/kernel/raw-bson.js';
import { redactUris, shapeOf } from '../../src/kernel/redact.js';
import { backoffMs } from '../../src/kernel/retry.js';
import { formatBytes, formatDuration, formatShare, parseDuration, parseSize } from '../../src/kernel/units.js';
import { rewrap, toBytes, typeName } from '../../src/kernel/values.js';
import { estimateEnd } from '../../src/verbs/end.js';

describe('units', () => {
  test.each([
    ['30m', 1_800_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    [' 2d ', 172_800_000],
    ['5', undefined],
    ['5 weeks', undefined],
  ])('read the duration %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
  test.each([
    ['8MiB', 8_388_608],
    ['1.5GB', 1.5e9],
    ['512B', 512],
    ['8 mib', undefined],
  ])('read the size %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });
  test('are written in two units at most', () => {
    expect([380, 5_400, 42_000, 125_000, 4_500_000, Number.NaN].map(formatDuration)).toEqual([
      '380ms',
      '5.4s',
      '42s',
      '2m 05s',
      '1h 15m',
      'unknown',
    ]);
    expect([0, 512, 2_048, -1_048_576].map(formatBytes)).toEqual(['0 B', '512 B', '2.0 KiB', '-1.0 MiB']);
  });
  test('never call a part the whole, nor something nothing', () => {
    expect([
      formatShare(0, 9),
      formatShare(1, 10_000_000),
      formatShare(9_999_999, 10_000_000),
      formatShare(7, 7),
    ]).toEqual(['none', '< 0.001 %', '99.999 %', '100 %']);
  });
});

describe('what must not be seen', () => {
  test('is cut out of URIs wherever they stand', () => {
    expect(redactUris("bad 'mongodb+srv://ana:s3cret@h/x' and mongodb://u:p%40@a,b/?x")).toBe(
      "bad 'mongodb+srv://ana:***@h/x' and mongodb://u:***@a,b/?x",
    );
  });
  test('is shown as its shape: case, digits, length, blanks at the ends', () => {
    expect(shapeOf(' Ada.Lovelace1@X.test ')).toBe('_Xxx.Xxxxxxxx9@X.xxxx_');
    expect(shapeOf('é'.repeat(200))).toMatch(/^x{60}\.\.\. \(200\)$/);
  });
});

describe('BSON bytes', () => {
  test('that are no BSON are refused, not read beyond', () => {
    expect(() => scanFields(Buffer.from([9, 0, 0, 0, 0x99, 97, 0, 0, 0]))).toThrow(RangeError);
    expect(() => scanFields(Buffer.from([12, 0, 0, 0, 2, 97, 0, 99, 0, 0, 0, 0]))).toThrow(RangeError);
    expect(() => splitDocuments(Buffer.from([200, 0, 0, 0, 0]))).toThrow(RangeError);
  });
  test('are taken apart and put together again', () => {
    const bytes = toBytes({ a: 1, b: { c: [1, 'x'] }, d: null, e: /x/i });
    const fields = scanFields(bytes);
    expect(fields.map(({ name }) => name)).toEqual(['a', 'b', 'd', 'e']);
    expect(assemble(fields.map(({ start, end }) => bytes.subarray(start, end))).equals(bytes)).toBe(true);
    expect(splitDocuments(Buffer.concat([bytes, bytes])).length).toBe(2);
  });
  test('of another copy of bson are rebuilt by their name', () => {
    const foreign: object = { _bsontype: 'ObjectId', id: Buffer.from('64b7f0c2a1b2c3d4e5f60718', 'hex') };
    expect(rewrap(foreign, (inner) => inner)).toBeInstanceOf(ObjectId);
    expect(String(rewrap(foreign, (inner) => inner))).toBe('64b7f0c2a1b2c3d4e5f60718');
    expect(rewrap({ _bsontype: 'Nonsense' }, (inner) => inner)).toBeUndefined();
    expect([1, 1.5, 2 ** 31, -0, 'x', null, undefined, true, [], {}, new Date()].map(typeName)).toEqual([
      'int32',
      'double',
      'double',
      'double',
      'string',
      'null',
      'absent',
      'bool',
      'array',
      'object',
      'date',
    ]);
  });
});

describe('ranges of _id', () => {
  const planned: readonly IdRange[] = [
    { bracket: 'number', upper: 10 },
    { bracket: 'number', lower: 10, upper: 20 },
    { bracket: 'number', lower: 20, upper: 30 },
    { bracket: 'string', upper: 'x' },
  ];
  test('become filters that stay inside one bracket of types', () => {
    expect(rangeFilter({ bracket: 'number', upper: 10 }, null)).toEqual({
      _id: { $gte: Number.NEGATIVE_INFINITY, $lte: 10 },
    });
    expect(rangeFilter({ bracket: 'number', lower: 10, upper: 20 }, null)).toEqual({ _id: { $gt: 10, $lte: 20 } });
    expect(rangeFilter({ bracket: 'number', lower: 10, upper: 20 }, { id: 15 })).toEqual({
      _id: { $gt: 15, $lte: 20 },
    });
    expect(rangeFilter({ bracket: 'null' }, null)).toEqual({ _id: { $eq: null } });
    expect(rangeFilter({ bracket: 'null' }, { id: null })).toBeUndefined();
  });
  test('cover everything: planned ones open at their ends, and every bracket', () => {
    const all = coveringRanges(planned);
    expect(all.filter(({ bracket }) => bracket === 'number')).toEqual([
      { bracket: 'number', upper: 10 },
      { bracket: 'number', lower: 10, upper: 20 },
      { bracket: 'number', lower: 20 },
    ]);
    expect(all.filter(({ bracket }) => bracket === 'string')).toEqual([{ bracket: 'string' }]);
    expect(new Set(all.map(({ bracket }) => bracket)).size).toBe(BRACKETS.length);
    expect([] as Chunk[]).toEqual([]);
  });
});

describe('the states of a run', () => {
  test('are all reached, and every living one has a way to end', () => {
    const reached = new Set(['planned', ...EDGES.map(({ to }) => to)]);
    expect(RUN_STATES.filter((state) => !reached.has(state))).toEqual([]);
    for (const state of LIVE_STATES)
      for (const end of ['stopped', 'interrupted', 'failed'] as const)
        expect([state, end, mayGo(state, end)]).toEqual([state, end, true]);
    expect(RUN_STATES.filter(isLive)).toEqual([...LIVE_STATES]);
  });
  test('have no edge twice, and no short cut to completed', () => {
    expect(new Set(EDGES.map(({ from, to }) => `${from} ${to}`)).size).toBe(EDGES.length);
    expect(EDGES.filter(({ to }) => to === 'completed').map(({ from }) => from)).toEqual(['verifying']);
  });
});

describe('small things', () => {
  test('a word that was meant is found, and nonsense is not', () => {
    expect([nearest('batchSzie', ['batchSize', 'workers']), nearest('xyz', ['batchSize'])]).toEqual([
      'batchSize',
      undefined,
    ]);
    expect(didYouMean('verfy', ['verify'])).toBe(' Did you mean "verify"?');
  });
  test('pauses grow, are jittered, and have a bound', () => {
    expect([1, 2, 3, 50].map((attempt) => backoffMs(attempt, () => 1, 10, 100))).toEqual([20, 40, 80, 100]);
    expect(backoffMs(3, () => 0)).toBe(0);
  });
  test('every error code has an exit code of the contract', () => {
    const exits = new Set(Object.values(ERROR_CODES).map(({ exit }) => exit));
    expect([...exits].filter((exit) => ![1, 2, 3, 4, 5, 6, 7, 130].includes(exit))).toEqual([]);
  });
  test('an end is a range, or unknown with its reason', () => {
    expect(estimateEnd(0, 100, 0, true)).toMatchObject({ etaSeconds: null, etaUnknownBecause: 'still measuring' });
    expect(estimateEnd(50, 100, 10_000, false)).toMatchObject({
      etaSeconds: null,
      etaUnknownBecause: 'it is not running',
    });
    const { etaLowSeconds, etaSeconds, etaHighSeconds } = estimateEnd(5_000, 10_000, 10_000, true);
    expect([etaSeconds, (etaLowSeconds ?? 0) < 10, (etaHighSeconds ?? 0) > 10]).toEqual([10, true, true]);
  });
});
