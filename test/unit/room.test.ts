import { describe, expect, test } from 'vitest';
import { findings } from '../../src/verbs/room.js';

const MIB = 1024 * 1024;

describe('the room for a run', () => {
  test.each([
    ['all fits', { freeBytes: 100 * MIB, oplogBytes: 100 * MIB }, []],
    ['nothing is known', { freeBytes: null, oplogBytes: null }, []],
    [
      'the disk is too full',
      { freeBytes: 9 * MIB, oplogBytes: null },
      ['the audit takes about 10.0 MiB, and 9.0 MiB are free'],
    ],
    [
      'the oplog is too small',
      { freeBytes: null, oplogBytes: 19 * MIB },
      ['the oplog takes about 20.0 MiB, and half of it is 19.0 MiB'],
    ],
    ['both are', { freeBytes: 0, oplogBytes: 0 }, [expect.stringContaining('audit'), expect.stringContaining('oplog')]],
  ])('%s', (_, limits, found) => {
    expect(findings({ auditBytes: 10 * MIB, oplogBytes: 20 * MIB }, limits)).toEqual(found);
  });
});
