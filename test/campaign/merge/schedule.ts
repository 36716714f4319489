/** Schedules of merges: who is the same as whom, an application that goes on, and faults. One seed, one schedule. */
import { FAULT_POINTS, type FaultPoint } from '../../../src/engine/fault-points.js';
import { type Dice, diceFrom } from '../dice.js';

export const SOURCES = ['clients', 'customers', 'leads'] as const;
export type Source = (typeof SOURCES)[number];

export type MergeIds = 'objectId' | 'int' | 'string';
export type MergeLoad = 'none' | 'edits' | 'inserts' | 'deletes' | 'all';

export type MergeFault =
  | { readonly kind: 'kill' | 'throw'; readonly point: FaultPoint; readonly hit: number }
  | { readonly kind: 'kill-time'; readonly ms: number };

/** A document before its run: `keys` are what it shares with others of the same number. */
export interface Drawn {
  readonly collection: Source | 'contacts';
  /** Of all documents: its own field in the canonical one. */
  readonly no: number;
  readonly mail: number | null;
  readonly phone: number | null;
}

export interface MergeSchedule {
  readonly seed: number;
  readonly documents: readonly Drawn[];
  readonly ids: MergeIds;
  /** What becomes of the sources. */
  readonly legacy: 'keep' | 'mark' | 'remove';
  readonly onConflict: 'keepTarget' | 'keepSource' | 'newest';
  readonly batchSize: number;
  readonly workers: number;
  readonly leaseMs: number;
  readonly load: { readonly kind: MergeLoad; readonly writes: number };
  readonly faults: readonly MergeFault[];
  readonly ending: 'complete' | 'rollback' | 'rollback-killed';
}

const SHARES = 0.6;

/** Some people are in one collection, some in several; some are joined by nobody but a third. */
function drawDocuments(dice: Dice): Drawn[] {
  const people = dice.int(3, 120);
  const documents: Omit<Drawn, 'no'>[] = [];
  const collections = [...SOURCES, ...(dice.chance(0.5) ? (['contacts'] as const) : [])];
  for (let person = 0; person < people; person += 1) {
    const count = dice.chance(SHARES) ? 1 : dice.int(2, 4);
    const isChain = dice.chance(0.4);
    // Two of the canonical collection are never merged with each other: at most one of each person is there.
    let isThere = false;
    for (let at = 0; at < count; at += 1) {
      const drawn = dice.pick(collections);
      const collection: Drawn['collection'] = drawn === 'contacts' && isThere ? 'leads' : drawn;
      isThere ||= collection === 'contacts';
      const [mail, phone] = isChain
        ? [person * 10 + Math.floor(at / 2), person * 10 + Math.ceil(at / 2)]
        : [person * 10, null];
      documents.push({ collection, mail, phone });
    }
  }
  for (let nobody = dice.int(0, 5); nobody > 0; nobody -= 1)
    documents.push({ collection: dice.pick(SOURCES), mail: null, phone: null });
  return documents.map((one, no) => ({ ...one, no }));
}

const FORWARD = FAULT_POINTS.filter((point) => !point.startsWith('rollback:'));
/** Where the documents, the audit and the id map could part. */
const IN_BATCH = FORWARD.filter((point) => point.startsWith('batch:'));

function drawFault(dice: Dice): MergeFault {
  const kind = dice.weighted({ kill: 6, throw: 1, 'kill-time': 2 });
  if (kind === 'kill-time') return { kind, ms: dice.int(300, 2_500) };
  return { kind, point: dice.pick(dice.chance(0.5) ? IN_BATCH : FORWARD), hit: dice.int(1, 4) };
}

export function drawMerge(seed: number): MergeSchedule {
  const dice = diceFrom(seed);
  const load = dice.weighted({ none: 4, edits: 2, inserts: 2, deletes: 1, all: 3 });
  return {
    seed,
    documents: drawDocuments(dice),
    ids: dice.pick(['objectId', 'int', 'string']),
    onConflict: dice.pick(['keepTarget', 'keepSource', 'newest']),
    batchSize: dice.int(1, 30),
    workers: dice.int(1, 4),
    leaseMs: dice.int(500, 3_000),
    load: { kind: load, writes: load === 'none' ? 0 : dice.int(20, 200) },
    faults: Array.from({ length: dice.int(0, 3) }, () => drawFault(dice)),
    ending: dice.weighted({ complete: 4, rollback: 4, 'rollback-killed': 3 }),
    // Drawn last: seeds from before it mean the same.
    legacy: dice.weighted({ keep: 3, mark: 2, remove: 4 }),
  };
}
