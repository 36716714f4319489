/** An application at full speed for longer, and runners that are stopped and wake again beside it. */
import { afterAll, describe, test } from 'vitest';
import { useDatabase } from '../support/database.js';
import { killLeftovers } from '../support/process.js';
import { expectNothingLost } from './application.js';

describe('an application at full speed', () => {
  const { db, uri } = useDatabase('application');
  afterAll(killLeftovers);

  test(
    'loses no write and waits 3 s at most, forwards and back, though runners are killed and stopped',
    {
      tags: ['F10', 'F48', 'P2', 'P3', 'P4', 'P12'],
      timeout: 400_000,
    },
    () =>
      expectNothingLost({ db, uri, count: 2_000, up: ['SIGKILL', 'SIGSTOP', 'SIGKILL'], down: ['SIGKILL', 'SIGSTOP'] }),
  );
});
