/** An application that writes to the same documents at full speed: no write of it is lost, and runs end beside it. */
import { afterAll, describe, test } from 'vitest';
import { useDatabase } from '../support/database.js';
import { killLeftovers } from '../support/process.js';
import { expectNothingLost } from './application.js';

describe('an application at full speed', () => {
  const { db, uri } = useDatabase('application');
  afterAll(killLeftovers);

  test(
    'loses no write and waits 3 s at most, forwards and back, though runners are killed',
    {
      tags: ['F48', 'P2', 'P3', 'P12'],
    },
    () => expectNothingLost({ db, uri, count: 800, up: ['SIGKILL'], down: ['SIGKILL'] }),
  );
});
