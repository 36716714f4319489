/**
 * Deliberate damage to the engine: each must be noticed, or the campaign proves nothing. Text is replaced in a copy of
 * src/ (build-mutant.ts); where ordinary schedules would meet the damage rarely, `focus` restricts the draw to what matters.
 */
import type { Focus } from './draw.js';
import type { Fault, Moment } from './schedule.js';

export interface Edit {
  /** Below src/. */
  readonly file: string;
  /** Must be there exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly focus: Focus;
  /**
   * Of schedules that are known to catch it: a hunt starts with them. More than one where the catch may
   * hang on who is quicker. `npm run campaign -- --mutant NAME --seed N` finds others.
   */
  readonly seeds: readonly number[];
  /** Hunted with schedules of merges. */
  readonly isOfMerges?: true;
}

const CHECKPOINT_FILTER = '{ _id: chunk._id, fence: chunk.fence, seq: chunk.seq }';

const REDONE_UNASKED: Edit = {
  file: 'engine/doubt.ts',
  find: "if (!(error instanceof CommitUnknown) && !(error instanceof CheckpointMismatch)) return 'open';",
  replace: "if (!(error instanceof CheckpointMismatch)) return 'open';",
};

const atPoint = (fault: Fault, point: Moment['point'], hit = 2): Moment => ({
  point,
  hit: Math.min(hit, 'at' in fault ? fault.at.hit : hit),
});

/** A runner that is woken while another one is at work. */
const woken = (fault: Fault): Fault =>
  fault.kind === 'stop' ? { ...fault, at: atPoint(fault, 'batch:before-read'), second: 'held' } : fault;

/** The data's own statement fails, in a way that leaves the transaction open on the server. */
const failedData = (fault: Fault): Fault =>
  fault.kind === 'fail-command'
    ? { ...fault, at: atPoint(fault, 'batch:after-checkpoint'), command: 'update', code: 50, times: 1 }
    : fault;

const conflicted = (fault: Fault): Fault => {
  const failed = failedData(fault);
  return failed.kind === 'fail-command' ? { ...failed, code: 112 } : failed;
};

const orphaned = (fault: Fault): Fault =>
  fault.kind === 'kill' ? { ...fault, at: atPoint(fault, 'batch:after-data'), sentinelToo: true } : fault;

const recreated = (fault: Fault): Fault =>
  fault.kind === 'ddl' ? { ...fault, at: atPoint(fault, 'batch:before-read'), what: 'recreate' } : fault;

/** What is looked up is edited while runners die. */
const EDITED_TEAMS: Focus = {
  ...{ areTeamsEdited: true, loads: ['edits', 'inserts', 'saves', 'all'], faults: ['kill', 'stop'] },
  ...{ minDocs: 60, maxDocs: 800 },
};

/** What is looked up is edited beside a runner that nothing else befalls. */
const EDITED_ALONE: Focus = {
  ...{ ...EDITED_TEAMS, migrations: ['set', 'rename', 'mark'], loads: ['edits'] },
  ...{ minDocs: 60, maxDocs: 300, maxFaults: 0, endings: ['complete'] },
};

/** Edited while what was edited before is caught up with. */
const CHAINS: Focus = { ...EDITED_ALONE, areChains: true, areEditsLate: true, minDocs: 300 };

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no-fence',
    edits: [{ file: 'mongo/chunks.ts', find: CHECKPOINT_FILTER, replace: '{ _id: chunk._id, seq: chunk.seq }' }],
    focus: { faults: ['stop'], mend: woken, minDocs: 60, loads: ['none', 'edits'] },
    seeds: [1_040_014],
  },
  {
    name: 'checkpoint-outside',
    edits: [
      {
        file: 'mongo/chunks.ts',
        find: '{ $set: set, $inc: { seq: 1 }, $currentDate: { at: true } },\n    { session },',
        replace: '{ $set: set, $inc: { seq: 1 }, $currentDate: { at: true } },\n    {},',
      },
    ],
    focus: {},
    seeds: [1_040_007],
  },
  {
    name: 'audit-outside',
    edits: [
      {
        file: 'mongo/audit-entries.ts',
        find: 'at: new Date(),\n      },\n      { session },',
        replace: 'at: new Date(),\n      },\n      {},',
      },
    ],
    focus: {},
    seeds: [1_040_007],
  },
  {
    name: 'own-writes-seen',
    edits: [{ file: 'mongo/changes.ts', find: "'lsid.id': { $nin: ownSessions },", replace: '' }],
    focus: { loads: ['none'] },
    seeds: [1_040_007],
  },
  {
    name: 'unknown-commit-redone',
    // Redone under the same number it would be refused twice over, by the checkpoint's filter and by the audit's `_id`
    // (no-seq takes those away): the damage is to go on from the stored number without the stored cursor.
    edits: [
      {
        file: 'engine/doubt.ts',
        find: "return error instanceof CommitUnknown ? 'committed' : stored;",
        replace: 'return error instanceof CommitUnknown ? { ...stored, cursor: chunk.cursor } : stored;',
      },
    ],
    focus: { faults: ['commit-unknown'], maxFaults: 1, minDocs: 20, maxDocs: 200, loads: ['none'] },
    seeds: [1_040_007],
  },
  {
    name: 'one-range-for-all-types',
    edits: [
      {
        file: 'domain/chunk.ts',
        find: "= [\n  { name: 'minKey', least: new MinKey(), isPoint: true },",
        replace:
          "= [{ name: 'minKey', least: new MinKey(), isPoint: false }];\nexport const UNUSED: readonly Bracket[] = [",
      },
    ],
    // A thousand documents are looked at in one portion at the end, which needs no range to be right.
    focus: { ids: ['mixed', 'strange'], minDocs: 1_200, faults: ['kill'], maxFaults: 1 },
    seeds: [1_040_008],
  },
  {
    name: 'conflict-ignored',
    edits: [
      {
        file: 'mongo/write-batch.ts',
        find: 'throw options.isSingle &&',
        replace: 'if ((error as { code?: number }).code === 112) continue;\n      throw options.isSingle &&',
      },
      {
        file: 'mongo/transaction.ts',
        find: 'if (isCommitRefused(error)) {',
        replace: 'if (isCommitRefused(error)) return;\n      if (isCommitRefused(error)) {',
      },
    ],
    focus: { faults: ['fail-command'], mend: conflicted, loads: ['edits', 'hot', 'all'], minDocs: 40 },
    seeds: [1_040_007],
  },
  {
    name: 'touched-not-stored',
    edits: [
      {
        file: 'mongo/touched.ts',
        find: 'if (touches.length === 0) return;',
        replace: 'if (touches.length >= 0) return;',
      },
    ],
    // Enough batches that the application goes on meanwhile, on a slow machine, too.
    focus: { loads: ['inserts'], endings: ['complete'], minDocs: 300, maxDocs: 800, faults: ['kill'], maxFaults: 1 },
    seeds: [1_639, 1_671],
  },
  {
    name: 'after-hash-unchecked',
    edits: [
      {
        file: 'domain/invert.ts',
        find: "if (currentHash.equals(entry.hash)) return { kind: 'exact' };",
        replace: "if (currentHash.length > 0) return { kind: 'exact' };",
      },
    ],
    focus: { loads: ['edits', 'transactions'], endings: ['rollback'] },
    seeds: [1_040_008],
  },
  {
    name: 'commit-after-failure',
    edits: [
      {
        file: 'mongo/transaction.ts',
        find: 'await abort(session);\n    throw error;',
        replace: 'await session.commitTransaction().catch(() => undefined);\n    throw error;',
      },
    ],
    focus: { faults: ['fail-command'], mend: failedData, minDocs: 20 },
    seeds: [1_040_010, 1_040_007],
  },
  {
    name: 'no-seq',
    // Two more layers keep a batch from being carried out twice: the stored number is asked for after a commit without an
    // answer, and the audit's `_id` has it. Without those, the checkpoint's filter must do; here it does not, either.
    edits: [
      { file: 'mongo/chunks.ts', find: CHECKPOINT_FILTER, replace: '{ _id: chunk._id, fence: chunk.fence }' },
      REDONE_UNASKED,
      {
        file: 'mongo/audit-entries.ts',
        find: 'await state.audit.insertOne(',
        replace:
          'await state.audit.deleteOne({ chunk: chunk._id, direction: batch.direction, round: batch.round, seq: batch.seq, part }, { session });\n    await state.audit.insertOne(',
      },
    ],
    focus: { faults: ['commit-unknown'], maxFaults: 1, minDocs: 20, maxDocs: 200, loads: ['none'] },
    seeds: [1_040_007],
  },
  {
    name: 'no-collection-uuid',
    edits: [
      {
        file: 'mongo/read-batch.ts',
        find: 'collectionUUID: uuidOf(from),',
        replace: '',
      },
    ],
    focus: { faults: ['ddl'], mend: recreated, maxFaults: 1, minDocs: 60 },
    seeds: [1_040_010],
  },
  {
    name: 'orphans-left',
    edits: [
      {
        file: 'mongo/leases.ts',
        find: 'if (orphans.length > 0) await killSessions(client, orphans);',
        replace: '',
      },
    ],
    focus: { faults: ['kill'], mend: orphaned, minDocs: 20, maxFaults: 1 },
    seeds: [1_040_007],
  },
  {
    name: 'no-byte-check',
    edits: [
      {
        file: 'domain/change.ts',
        find: 'const odd = oddity(document, touched) ?? mangled(document, bytes);',
        replace: 'const odd = undefined as string | undefined;',
      },
      {
        file: 'domain/carried.ts',
        find: '(name === undefined || field.name === name) && !isCarried(document, field)',
        replace: 'field.start < 0 && name !== undefined',
      },
    ],
    focus: { fields: ['odd'], migrations: ['rename', 'whole', 'set'], minDocs: 20, maxFaults: 1 },
    seeds: [1_040_008],
  },
  {
    name: 'readers-forgotten',
    edits: [
      {
        file: 'engine/catch-up.ts',
        find: 'touches.push(...(await this.#dependants(this.steps, events)));',
        replace: '',
      },
    ],
    focus: EDITED_TEAMS,
    seeds: [1_040_042],
  },
  {
    name: 'key-believed',
    edits: [
      {
        file: 'engine/dependants.ts',
        find: "if (kind === 'inserted' || key === '_id') return false;",
        replace: "if (kind === 'inserted' || key !== '') return false;",
      },
    ],
    focus: EDITED_ALONE,
    seeds: [1],
  },
  {
    name: 'late-write-untold',
    edits: [
      {
        file: 'engine/catch-up.ts',
        find: 'await patiently(step, async () => this.#storeTouches(await this.#dependants(readers, written)));',
        replace: 'if (readers.length < 0) await this.#dependants(readers, written);',
      },
    ],
    focus: CHAINS,
    seeds: [8_485, 9_690],
  },
  {
    name: 'groups-not-joined',
    edits: [{ file: 'domain/grouping.ts', find: 'else this.#join(number, other);', replace: '' }],
    focus: {},
    seeds: [1],
    isOfMerges: true,
  },
  {
    name: 'newcomers-not-matched',
    edits: [
      {
        file: 'engine/assign-sources.ts',
        find: 'if (keys.length === 0) return undefined;',
        replace: 'if (keys.length >= 0) return undefined;',
      },
    ],
    focus: {},
    seeds: [5],
    isOfMerges: true,
  },
  {
    name: 'merged-outside',
    edits: [
      {
        file: 'mongo/id-map-writes.ts',
        find: "$unset: { removed: '' } },\n        },\n      }),\n    ),\n    { session },",
        replace: "$unset: { removed: '' } },\n        },\n      }),\n    ),\n    {},",
      },
    ],
    focus: {},
    seeds: [3],
    isOfMerges: true,
  },
  {
    name: 'removed-unmerged',
    edits: [
      {
        file: 'engine/legacy.ts',
        find: "(elements === 'planned' || isMergedAs(now.elements, elements));",
        replace: "(elements === 'planned' || elements !== null);",
      },
    ],
    focus: {},
    seeds: [5],
    isOfMerges: true,
  },
  {
    name: 'removal-not-noted',
    edits: [{ file: 'mongo/id-map-writes.ts', find: '{ $set: { removed: true } }', replace: '{ $set: {} }' }],
    focus: {},
    seeds: [1],
    isOfMerges: true,
  },
  {
    name: 'insertion-forgotten',
    edits: [
      {
        file: 'domain/audit-entry.ts',
        find: "kind: patch.k ?? 'update',",
        replace: "kind: 'update',",
      },
    ],
    focus: {},
    seeds: [1],
    isOfMerges: true,
  },
];
