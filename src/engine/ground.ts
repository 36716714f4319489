/**
 * The ground that a run stands on: the collections that it was planned for, and the state itself, each told by its
 * UUID. A restored backup brings them back under the same names with other UUIDs: nothing that the state then says of
 * the target can be believed, so the run ends as `restored`, and the next one is planned anew.
 */
import type { Chunk } from '../domain/chunk.js';
import { isFenceOf } from '../domain/lease.js';
import {
  type Ground,
  isSpent,
  type Planned,
  type PlannedStep,
  plannedCollections,
  type RunDocument,
} from '../domain/run.js';
import { GodwitError } from '../errors.js';
import { auditTotals, withoutHead } from '../mongo/audit-entries.js';
import { listChunks } from '../mongo/chunks.js';
import { storeRestored } from '../mongo/runs.js';
import { readReplicaSetId } from '../mongo/server-facts.js';
import { readStateIds } from '../mongo/state.js';
import { findTarget } from '../mongo/target.js';
import { leaseLost } from './doubt.js';
import { whoami } from './owner.js';
import { type RunFacts, withLease } from './with-lease.js';

type GroundFacts = Pick<RunFacts, 'client' | 'db' | 'state'>;

/** The ground as it is now under the names of the plan. */
async function readGround({ client, db, state }: GroundFacts, run: RunDocument): Promise<Ground> {
  const now = async <Place extends Planned>(place: Place): Promise<Place> => ({
    ...place,
    uuid: (await findTarget(db, place.collection))?.uuid ?? place.uuid,
  });
  const steps: PlannedStep[] = [];
  for (const { sources = [], ...step } of run.steps) {
    const read: Planned[] = [];
    for (const source of sources) read.push(await now(source));
    steps.push({ ...(await now(step)), ...(read.length > 0 ? { sources: read } : {}) });
  }
  const replicaSetId = run.server.replicaSetId && ((await readReplicaSetId(client)) ?? run.server.replicaSetId);
  return { steps, stateIds: await readStateIds(state), server: { ...run.server, replicaSetId } };
}

function otherTargets(run: RunDocument, ground: Ground): string[] {
  const found = plannedCollections(ground.steps);
  const others = plannedCollections(run.steps).filter(({ uuid }, index) => found[index]?.uuid !== uuid);
  return others.map(({ collection }) => collection);
}

const isOtherState = (run: RunDocument, { stateIds }: Ground): boolean =>
  stateIds.chunks !== run.stateIds.chunks || stateIds.audit !== run.stateIds.audit;

/** The state is not the one that the last transition led to. */
const isEdited = ({ state, history }: RunDocument): boolean => history.at(-1)?.to !== state;

/**
 * Refuses to go on with a run on other ground.
 *
 * @throws GodwitError GODWIT_RESTORED (the run has become `restored`), GODWIT_TARGET_REPLACED, GODWIT_OTHER_SERVER,
 *   GODWIT_STATE_EDITED
 */
export async function requireGround(facts: RunFacts, run: RunDocument): Promise<void> {
  const accept = `godwit amend ${run.migration} --because "…"   accepts what is there now; the next run plans anew`;
  if (isEdited(run))
    throw new GodwitError(
      'GODWIT_STATE_EDITED',
      `wanted ${run.migration} in the state ${run.history.at(-1)?.to}, to which its last transition led, found ${run.state}`,
      { next: [accept] },
    );
  if (isSpent(run.state)) return;
  const ground = await readGround(facts, run);
  const others = otherTargets(run, ground);
  if (isOtherState(run, ground)) {
    await requireWholeAudit(facts, run, accept);
    const because = 'its state was restored from a backup: the collections are not those that it was written into';
    await markRestored(facts, run, ground, because);
    throw restored(run);
  }
  const names = others.map((name) => `${facts.db.databaseName}.${name}`).join(', ');
  if (others.length > 0)
    throw new GodwitError(
      'GODWIT_TARGET_REPLACED',
      `wanted the collections that ${run.migration} was planned for, found another one under the name of ${names}`,
      { next: ['put the planned collection back and run again; the audit stays', accept] },
    );
  if (ground.server.replicaSetId !== run.server.replicaSetId)
    throw new GodwitError(
      'GODWIT_OTHER_SERVER',
      `wanted the replica set that ${run.migration} began on, found another one`,
      { next: ['check the address in MONGODB_URI', accept] },
    );
}

/** Another audit collection that does not hold what the chunks tell of was made anew, not restored. */
async function requireWholeAudit({ state }: RunFacts, run: RunDocument, accept: string): Promise<void> {
  const lost = await withoutHead(state, await listChunks(state, run._id));
  if (lost.length === 0) return;
  throw new GodwitError(
    'GODWIT_STATE_LOST',
    `wanted the audit of ${run.migration}, found that of ${lost.length} ${lost.length === 1 ? 'chunk' : 'chunks'} gone with its collection: documents that were migrated stay migrated, and these cannot be rolled back`,
    { next: ['restore the audit collection from a backup', accept] },
  );
}

const restored = (run: RunDocument): GodwitError =>
  new GodwitError(
    'GODWIT_RESTORED',
    `wanted the state that ${run.migration} was run with, found it restored from a backup (last written ${run.updatedAt.toISOString()}); what it says of ${run.steps.map(({ collection }) => collection).join(', ')} may be wrong`,
    {
      next: [
        `godwit verify ${run.migration}     looks at what is there`,
        `godwit run ${run.migration}        plans anew: documents in the new shape stay as they are`,
        `godwit rollback ${run.migration}   compares the bytes of every document first`,
      ],
    },
  );

/** True when the audit does not hold every batch that the chunks tell of, though nobody purged it. */
async function hasGaps(
  { state }: GroundFacts,
  { _id, purged }: RunDocument,
  chunks: readonly Chunk[],
): Promise<boolean> {
  if (purged) return false;
  const { batches } = await auditTotals(state, _id, 'up');
  return batches !== chunks.reduce((sum, { seq }) => sum + seq, 0);
}

/** True when the run stands on other ground, its state was edited, or audit is lost: a person may accept that. */
export async function isDoubtful(facts: GroundFacts, run: RunDocument): Promise<boolean> {
  if (isEdited(run)) return true;
  const chunks = await listChunks(facts.state, run._id);
  if (!chunks.every(({ fence }) => isFenceOf(run.takings, fence))) return true;
  if (await hasGaps(facts, run, chunks)) return true;
  if (isSpent(run.state)) return false;
  const ground = await readGround(facts, run);
  const isOtherServer = ground.server.replicaSetId !== run.server.replicaSetId;
  return isOtherServer || isOtherState(run, ground) || otherTargets(run, ground).length > 0;
}

/** The run ends as `restored`, on the ground that is there now: it can be rolled back, or planned anew. */
export async function acceptGround(facts: RunFacts, run: RunDocument, because: string): Promise<void> {
  await markRestored(facts, run, await readGround(facts, run), because);
}

async function markRestored(facts: RunFacts, run: RunDocument, ground: Ground, because: string): Promise<void> {
  await withLease({ ...facts, resetsFences: true }, run, 0, async (context) => {
    const moved = { by: whoami(), because, fence: context.fence };
    if (!(await storeRestored(context.state, context.run, ground, moved))) throw leaseLost(run.migration);
  });
}
