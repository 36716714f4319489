/** An error that never ends: the run does, after its tries. */
import { afterEach, describe, expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { useScratch } from '../support/scratch.js';
import { useSharedMembers } from '../support/servers.js';
import { expectAsUndisturbed, expectEnded, heldAt, prepare, RUN, runTwin } from '../support/trouble.js';

describe('a run under way', () => {
  const members = useSharedMembers('one');
  const scratch = useScratch('oper', () => members().server.uri);
  afterEach(() => members().failPoint(0, 'failCommand', 'off'));

  test('whose updates fail with 365 for ever ends, bounded', { tags: ['F34'] }, async () => {
    const twin = await runTwin(await prepare(scratch.make()));
    const at = await prepare(scratch.make());
    const told = await heldAt(at, { at: 'batch:before-read' }, () =>
      members().failPoint(0, 'failCommand', 'alwaysOn', {
        failCommands: ['update'],
        namespace: `${at.db.databaseName}.people`,
        errorCode: 365,
        failInternalCommands: false,
      }),
    );
    await members().failPoint(0, 'failCommand', 'off');
    await expectEnded(at, told, 'GODWIT_CONFLICTS');
    const { code, json } = await runJson(RUN.slice(0, -1), at);
    expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
    await expectAsUndisturbed(at, twin);
  });
});
