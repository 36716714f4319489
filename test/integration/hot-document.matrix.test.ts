import { describe, expect, test } from 'vitest';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';
import { matrix } from '../support/tiers.js';

interface Counter {
  _id: number;
  n: number;
  mail?: string;
}

describe('a document that the application writes all the time', () => {
  const { db, uri } = useDatabase('hot');
  const counters = db.collection<Counter>('counters');

  test.each(matrix([4, 1]))(
    'does not keep a run from ending, nor loses an increment, with %i writers',
    { tags: ['F49', 'P2'] },
    async (writers) => {
      await counters.insertMany(Array.from({ length: 400 }, (_, _id) => ({ _id, n: 0, mail: `P${_id}@X.test` })));
      const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })', "collection: 'counters'");
      const session = await openSession({ cwd, uri });
      let isOver = false;
      let acknowledged = 0;
      const writer = async (): Promise<void> => {
        while (!isOver) {
          await counters.updateOne({ _id: 200 }, { $inc: { n: 1 } });
          acknowledged += 1;
        }
      };
      const writing = Array.from({ length: writers }, writer);
      const result = await startRun(session, 'm1', { batchSize: 100, workers: 1 }).result;
      const changed = await startRollback(session, 'm1', { dryRun: true }).result;
      isOver = true;
      await Promise.all(writing);

      expect(result).toMatchObject({ state: 'completed', failed: 0 });
      const hot = await counters.findOne({ _id: 200 });
      expect(hot).toEqual({ _id: 200, n: acknowledged, mail: 'p200@x.test' });
      expect(changed.conflicts).toBe(0);
      expect(await counters.countDocuments({ mail: /[A-Z]/ })).toBe(0);
      await closeSession(session);
    },
  );
});
